"""
What a gateway's answer means for whoever asked: the words of API Gateway, Apigee, API Management and AWS services.

A body is read to find the gateway's own code and how long it wants us to wait, and nothing of it is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

Meaning = Literal["throttled", "rejected", "failing", "refused"]

LARGEST_BODY = 64 * 1024
"""Bytes of a body that are looked at."""
LONGEST_WAIT = 366 * 24 * 3600.0

THROTTLED = frozenset(
    {
        # API Gateway and other services of AWS
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        # Apigee, which may say so with status 500
        "policies.ratelimit.QuotaViolation",
        "policies.ratelimit.SpikeArrestViolation",
        "policies.concurrentratelimit.ConcurrentRatelimtViolation",
        # API Management
        "CallRateLimitExceeded",
        "CallQuotaExceeded",
        # Google's own APIs
        "RESOURCE_EXHAUSTED",
    }
)
REJECTED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidToken",
        "UnrecognizedClientException",
        "keymanagement.service.access_token_expired",
        "keymanagement.service.invalid_access_token",
        "oauth.v2.AccessTokenExpired",
        "oauth.v2.InvalidAccessToken",
        "steps.oauth.v2.access_token_expired",
        "steps.oauth.v2.invalid_access_token",
        "invalid_token",
    }
)
"""Codes of a token that has expired or was revoked, whatever the status."""
QUOTAS = frozenset({403, 503})
"""Statuses that with ``Retry-After`` mean throttling: not every library hands on the body that says so."""
PASSING = frozenset({408, 425})
OURS = "x-airflow-ephemeral"
"""The header of a live place's own answers: of these 407 says that it is gone, and the next try is led to a new one."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{2,79}")
_ID = re.compile(r"[A-Za-z0-9=_.:-]{4,80}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_TRY_AGAIN = re.compile(r"[Tt]ry again in ([0-9]{1,9}) seconds?")
_REPLENISHED = re.compile(r"replenished in (?:([0-9]{1,4})\.)?([0-9]{1,2}):([0-9]{2}):([0-9]{2})")
_CHALLENGE = re.compile(r'\berror="?([a-z_]{3,40})')
_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id", "apim-request-id", "x-ms-request-id", "x-request-id")
_RESETS = ("ratelimit-reset", "x-ratelimit-reset")


class Answer(NamedTuple):
    """
    What came back.

    :param meaning: ``throttled``, ``rejected`` (the token), ``failing`` (may pass) or ``refused`` (will not)
    :param code: the gateway's own word, or nothing
    :param wait: seconds that the gateway asks for, where it does
    :param request_id: the gateway's, where it says one
    """

    status: int
    meaning: Meaning
    code: str = ""
    wait: float | None = None
    request_id: str | None = None

    def __str__(self) -> str:
        request = f" (request id {self.request_id})" if self.request_id else ""
        return f"{self.status}{' ' if self.code else ''}{self.code}{request}"


def read(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
    """
    Read an answer that is not a good one.

    :param headers: in any case
    :param body: what of it is at hand; no more than 64 KiB are looked at
    :param now: epoch seconds, from which dates are counted
    """
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    content = _json(body)
    message = _message(content)
    code = _code(lower, content, message)
    meaning = _meaning(status, code, lower)
    wait = _retry_after(lower, now)
    if wait is None and meaning == "throttled":
        wait = _said(message) if _said(message) is not None else _reset(lower, now)
    found = next((lower[name] for name in _REQUEST_IDS if _ID.fullmatch(lower.get(name, ""))), None)
    return Answer(status, meaning, code, None if wait is None else min(wait, LONGEST_WAIT), found)


def _meaning(status: int, code: str, headers: Mapping[str, str]) -> Meaning:
    if status == 429 or code in THROTTLED or (status in QUOTAS and "retry-after" in headers):
        return "throttled"
    if code in REJECTED:
        return "rejected"
    if status == 401:
        return "refused" if code == "insufficient_scope" else "rejected"
    if status == 407 and OURS in headers:
        return "failing"
    return "failing" if status in PASSING or (status >= 500 and status != 501) else "refused"


def _json(body: bytes) -> Mapping[str, Any]:
    if not body or len(body) > LARGEST_BODY:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _message(content: Mapping[str, Any]) -> str:
    """Find the sentence in which API Management, Apigee or AWS says what is wrong."""
    fault = content.get("fault")
    said = fault.get("faultstring") if isinstance(fault, dict) else None
    for found in (content.get("message"), content.get("Message"), said):
        if isinstance(found, str):
            return found[:1000]
    return ""


def _code(headers: Mapping[str, str], content: Mapping[str, Any], message: str) -> str:
    """Find the gateway's own code: in a header, in the body, or by the sentence that stands for it."""
    fault, error = content.get("fault"), content.get("error")
    detail = fault.get("detail") if isinstance(fault, dict) else None
    candidates = (
        headers.get("x-amzn-errortype", "").partition(":")[0],
        detail.get("errorcode") if isinstance(detail, dict) else None,
        _last(content.get("__type")),
        content.get("code"),
        (error.get("status") or error.get("code")) if isinstance(error, dict) else error,
        *_CHALLENGE.findall(headers.get("www-authenticate", ""))[:1],
    )
    for found in candidates:
        if isinstance(found, str) and _CODE.fullmatch(found):
            return found
    if _TRY_AGAIN.search(message):
        return "CallRateLimitExceeded"
    return "CallQuotaExceeded" if _REPLENISHED.search(message) else ""


def _last(value: Any) -> str | None:
    return value.rpartition("#")[2] if isinstance(value, str) else None


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3) in seconds; junk is as good as nothing."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        at = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return max(0.0, at.timestamp() - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _said(message: str) -> float | None:
    """Read what API Management says: in how many seconds, or when its quota is replenished."""
    if found := _TRY_AGAIN.search(message):
        return float(found[1])
    if found := _REPLENISHED.search(message):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return None


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    """Read when a quota starts anew: in seconds, or at a moment in seconds or milliseconds since 1970."""
    value = next((headers[name].strip() for name in _RESETS if name in headers), "")
    if not re.fullmatch(r"[0-9]{1,13}", value):
        return None
    number = float(value)
    if number < LONGEST_WAIT:
        return number
    return max(0.0, (number / 1000 if number > 1e11 else number) - now)


def moment(now: float) -> str:
    """Write a moment as traces have it: ISO 8601, UTC, in milliseconds."""
    return datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
