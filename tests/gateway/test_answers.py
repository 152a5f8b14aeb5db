"""What a gateway's answer means: statuses, codes of four gateways, waits in six forms, and nothing of a body."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets.gateway.answers import LARGEST_BODY, LONGEST_WAIT, read

NOW = 1_790_000_000.0
SPIKE, QUOTA = "policies.ratelimit.SpikeArrestViolation", "policies.ratelimit.QuotaViolation"


def apigee(code: str) -> dict[str, Any]:
    return {"fault": {"faultstring": "a sentence", "detail": {"errorcode": code}}}


def azure(status: int, message: str) -> dict[str, Any]:
    return {"statusCode": status, "message": message}


CASES: dict[str, tuple[int, dict[str, str], Any, tuple[str, str, float | None]]] = {
    "429 in seconds": (429, {"Retry-After": "30"}, {}, ("throttled", "", 30.0)),
    "429 in fractions": (429, {"retry-after": " 1.5 "}, {}, ("throttled", "", 1.5)),
    "429 until a date": (429, {"Retry-After": formatdate(NOW + 90, usegmt=True)}, {}, ("throttled", "", 90.0)),
    "429 until a date gone by": (429, {"Retry-After": formatdate(NOW - 90, usegmt=True)}, {}, ("throttled", "", 0.0)),
    "429 with junk": (429, {"Retry-After": "soon"}, {}, ("throttled", "", None)),
    "429 with a negative wait": (429, {"Retry-After": "-5"}, {}, ("throttled", "", None)),
    "429 with a wait of ages": (429, {"Retry-After": "999999999"}, {}, ("throttled", "", LONGEST_WAIT)),
    "429 with too many digits": (429, {"Retry-After": "9" * 400}, {}, ("throttled", "", None)),
    "503 with a wait": (503, {"Retry-After": "5"}, {}, ("throttled", "", 5.0)),
    "403 with a wait": (403, {"Retry-After": "300"}, {}, ("throttled", "", 300.0)),
    "503": (503, {}, {}, ("failing", "", None)),
    "500": (500, {}, "no JSON object", ("failing", "", None)),
    "501": (501, {}, {}, ("refused", "", None)),
    "408": (408, {}, {}, ("failing", "", None)),
    "407 of a proxy": (407, {}, {}, ("refused", "", None)),
    "407 of a live place": (407, {"X-Airflow-Ephemeral": "refused"}, {}, ("failing", "", None)),
    "404": (404, {}, {}, ("refused", "", None)),
    "API Gateway throttles": (
        429,
        {"x-amzn-ErrorType": "TooManyRequestsException:http://internal.amazon.com/"},
        {"message": "Too Many Requests"},
        ("throttled", "TooManyRequestsException", None),
    ),
    "API Gateway's quota": (
        429,
        {"x-amzn-ErrorType": "LimitExceededException"},
        {"message": "Limit Exceeded"},
        ("throttled", "LimitExceededException", None),
    ),
    "AWS throttles with 400": (
        400,
        {},
        {"__type": "com.amazon.coral.availability#ThrottlingException"},
        ("throttled", "ThrottlingException", None),
    ),
    "a token of AWS has expired": (
        403,
        {"x-amzn-ErrorType": "ExpiredTokenException"},
        {"message": "The security token included in the request is expired"},
        ("rejected", "ExpiredTokenException", None),
    ),
    "API Gateway denies": (
        403,
        {"x-amzn-ErrorType": "AccessDeniedException"},
        {},
        ("refused", "AccessDeniedException", None),
    ),
    "Apigee arrests": (429, {}, apigee(SPIKE), ("throttled", SPIKE, None)),
    "Apigee arrests with 500": (500, {}, apigee(SPIKE), ("throttled", SPIKE, None)),
    "Apigee's quota": (429, {"X-RateLimit-Reset": "12"}, apigee(QUOTA), ("throttled", QUOTA, 12.0)),
    "Apigee's quota until a moment": (
        429,
        {"X-RateLimit-Reset": str(int((NOW + 60) * 1000))},
        apigee(QUOTA),
        ("throttled", QUOTA, 60.0),
    ),
    "Apigee knows no such token": (
        401,
        {},
        apigee("keymanagement.service.invalid_access_token"),
        ("rejected", "keymanagement.service.invalid_access_token", None),
    ),
    "API Management's rate": (
        429,
        {},
        azure(429, "Rate limit is exceeded. Try again in 17 seconds."),
        ("throttled", "CallRateLimitExceeded", 17.0),
    ),
    "API Management's quota": (
        403,
        {},
        azure(403, "Out of call volume quota. Quota will be replenished in 01:02:03."),
        ("throttled", "CallQuotaExceeded", 3723.0),
    ),
    "API Management's quota of days": (
        403,
        {},
        azure(403, "Out of call volume quota. Quota will be replenished in 5.03:23:11."),
        ("throttled", "CallQuotaExceeded", 444191.0),
    ),
    "a token is invalid": (
        401,
        {"WWW-Authenticate": 'Bearer realm="x", error="invalid_token"'},
        {},
        ("rejected", "invalid_token", None),
    ),
    "a token is too narrow": (
        401,
        {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        {},
        ("refused", "insufficient_scope", None),
    ),
    "401": (401, {}, {}, ("rejected", "", None)),
    "403": (403, {}, {}, ("refused", "", None)),
    "Google is exhausted": (
        429,
        {},
        {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}},
        ("throttled", "RESOURCE_EXHAUSTED", None),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_meaning(case: str) -> None:
    """Each answer has one meaning, the gateway's own code, and the wait that it asks for."""
    status, headers, document, expected = CASES[case]
    answer = read(status, headers, json.dumps(document).encode(), NOW)
    assert (answer.meaning, answer.code, answer.wait) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'"text"',
        b'{"fault": 1}',
        b'{"fault": {"detail": []}}',
        b'{"message": {"a": 1}, "error": [1], "code": {}}',
        json.dumps({"message": "Try again in 9 seconds", "filler": "x" * LARGEST_BODY}).encode(),
    ],
    ids=["none", "no text", "deep", "text", "a number", "a list", "nested", "too large"],
)
def test_odd_bodies(body: bytes) -> None:
    """A body that is not a gateway's says nothing, and nothing breaks."""
    assert read(429, {}, body, NOW)[1:] == ("throttled", "", None, None)


@pytest.mark.parametrize("code", ["eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-_", "two words", "<html>", "x" * 81, "a"])
def test_what_is_no_code_is_left_out(code: str) -> None:
    """Only what looks like a code is repeated: never a token, a sentence or markup."""
    assert read(400, {"x-amzn-errortype": code}, b"", NOW).code == ""


def test_request_id() -> None:
    """The gateway's id of the request is told, if it looks like one."""
    answer = read(429, {"x-amzn-RequestId": "a1b2-c3"}, apigee_body(), NOW)
    assert str(answer) == f"429 {SPIKE} (request id a1b2-c3)"
    assert read(429, {"x-request-id": "no id at all\n"}, b"", NOW).request_id is None


def apigee_body() -> bytes:
    return json.dumps(apigee(SPIKE)).encode()


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["retry-after", "ratelimit-reset", "x-amzn-errortype"]), st.text()),
    st.binary(),
)
def test_any_answer_can_be_read(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever comes, reading it never fails, and a wait is finite and not negative."""
    answer = read(status, headers, body, NOW)
    assert answer.wait is None or 0 <= answer.wait <= LONGEST_WAIT
