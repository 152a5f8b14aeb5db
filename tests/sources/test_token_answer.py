"""What a token endpoint answered: which tokens are believed, for how long, and what is told of a refusal."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources.exchange import Answer
from airflow_ephemeral_secrets.sources.token_answer import (
    DEEPEST,
    LONGEST_LIFE,
    LONGEST_TOKEN,
    OAUTH,
    Asked,
    Codes,
    acts_as,
    checked,
    claims,
    ends,
    members,
    refusal,
    request_id,
    token,
)
from airflow_ephemeral_secrets.testing import START
from tests.sources.asking import story

T = TypeVar("T")
CANARY = "canary of an answer"
WHAT = "a token of idp.test"
ID = "6f1dd4f0-3a4c-4ed2-a5a6-7d3a1cbb0a00"


def asked(*scopes: str, optional: Sequence[str] = ()) -> Asked:
    return Asked(what=WHAT, at=Instant(START, 1_000.0), scopes=scopes, scopes_optional=optional)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(typ: str = "JWT", **claims: Any) -> str:
    return f"{part({'alg': 'RS256', 'typ': typ})}.{part(claims)}.c2lnbmF0dXJl"


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-").lower(): value for name, value in headers.items()}, raw)


def refused(call: Callable[[], object]) -> MintError:
    with pytest.raises(MintError) as caught:
        call()
    return caught.value


def tried(call: Callable[[], T]) -> T | MintError:
    """Give what a call gives, or the error of ours that it raises; any other is raised."""
    try:
        return call()
    except MintError as error:
        return error


# What is believed

ENTRA = jwt(appid="11111111-aaaa", oid="o", tid="t", aud="api://crm", exp=int(START) + 3_599, roles=["Reader"])
OKTA = jwt(cid="0oa1", sub="0oa1", scp=["hr.read"], exp=int(START) + 3_600)


@pytest.mark.parametrize(
    ("body", "scopes", "lives", "principal", "scope"),
    [
        pytest.param(
            {"access_token": "opaque", "token_type": "Bearer", "expires_in": 3600, "scope": "read write"},
            ["read"],
            3600,
            "configured",
            "read write",
            id="rfc 6749",
        ),
        pytest.param({"access_token": "a-._~+/==", "expires_in": 1}, [], 1, "configured", None, id="the least"),
        pytest.param(
            {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": ENTRA},
            [],
            3599,
            "11111111-aaaa",
            None,
            id="entra",
        ),
        pytest.param(
            {
                "access_token": ENTRA,
                "client_id": "c",
                "expires_in": "3000",
                "expires_on": str(int(START) + 3000),
                "ext_expires_in": "86399",
                "not_before": str(int(START) - 300),
                "resource": "api://crm",
                "token_type": "Bearer",
            },
            [],
            3000,
            "11111111-aaaa",
            None,
            id="azure instance metadata",
        ),
        pytest.param(
            {"access_token": "opaque", "expires_on": str(int(START) + 1800), "resource": "r", "token_type": "Bearer"},
            [],
            1800,
            "configured",
            None,
            id="azure app service",
        ),
        pytest.param(
            {
                "access_token": "opaque",
                "token_type": "BearerToken",
                "expires_in": "3599",
                "issued_at": "1799999999000",
                "status": "approved",
                "scope": "",
                "refresh_token_expires_in": "0",
            },
            [],
            3599,
            "configured",
            None,
            id="apigee",
        ),
        pytest.param(
            {"access_token": "ya29.c.opaque", "expires_in": 3598, "token_type": "Bearer"},
            ["https://www.googleapis.com/auth/cloud-platform"],
            3598,
            "configured",
            "https://www.googleapis.com/auth/cloud-platform",
            id="google",
        ),
        pytest.param(
            {"access_token": OKTA, "token_type": "Bearer", "expires_in": 3600, "scope": "hr.read"},
            ["hr.read"],
            3600,
            "0oa1",
            "hr.read",
            id="okta",
        ),
        pytest.param(
            {"access_token": OKTA, "issued_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_type": "N_A"},
            [],
            3600,
            "0oa1",
            "hr.read",
            id="rfc 8693",
        ),
        pytest.param(
            {"access_token": jwt(scope="dummy", sub="s"), "token_type": "Bearer", "expires_in": 60, "scope": "dummy"},
            ["dummy"],
            60,
            "s",
            "dummy",
            id="mock servers",
        ),
        pytest.param(
            {"access_token": "opaque", "expires_in": 60, "scope": ["read", "write"]},
            ["write"],
            60,
            "configured",
            "read write",
            id="scope as a list",
        ),
        pytest.param({"access_token": "opaque", "expires_in": None, "expires_on": None}, [], 300, "configured", None),
    ],
)
def test_takes_good_answers(
    body: Mapping[str, Any], scopes: Sequence[str], lives: float, principal: str, scope: str | None
) -> None:
    """What the providers of the documentation answer becomes the token they meant, with what they granted."""
    found = token(answer(body, X_Ms_Request_Id=ID), asked(*scopes), principal="configured")

    assert found == BearerToken(
        token=str(body["access_token"]), expires_at=START + lives, principal=principal, scope=scope, request_id=ID
    )


def test_byte_order_mark_is_no_matter() -> None:
    """A gateway that puts a mark before the JSON (RFC 8259 lets us ignore it) changes nothing."""
    assert token(answer(b'\xef\xbb\xbf{"access_token": "t", "expires_in": 60}'), asked()).token == "t"


def test_other_members_hold_tokens() -> None:
    """What holds the token is the provider's to name."""
    assert token(answer({"id_token": jwt(exp=START + 60)}), asked(), member="id_token").expires_at == START + 60


# How long

BELIEVED = [(1, 1), (3600, 3600), (3600.5, 3600.5), ("3600", 3600), ("3600.25", 3600.25), (604_800, 604_800)]
UNBELIEVABLE = [
    *(0, -1, 604_801, 10**20, 1e-400, 1e-300, 1e300, -0.0),
    *("0", "-1", "604801", "9" * 20, "soon", "", " 3600", "3600 ", "3600\n", "1e3", "0x10", "+60", "1_000", "３６００"),
    *("nan", "inf", "Infinity", "3600s", "PT1H", "2027-01-15T08:00:00Z"),
    *(True, False, {}, [], [3600], {"seconds": 3600}, float("nan"), float("inf"), float("-inf")),
]


@pytest.mark.parametrize(("value", "lives"), BELIEVED)
def test_lifetime_is_a_number(value: Any, lives: float) -> None:
    """A lifetime is a number of seconds, or a string of one, and counts from before the request."""
    assert ends(value, asked()) == START + lives


@pytest.mark.parametrize("value", UNBELIEVABLE, ids=repr)
def test_unbelievable_lifetime_is_refused(value: Any) -> None:
    """Zero, negative, not finite, not a number, over seven days: no such token is handed out."""
    error = refused(lambda: ends(value, asked()))

    assert (type(error), error.code) == (SourceFailed, "bad_lifetime")


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (START + 60, True),
        (str(int(START) + 60), True),
        (START + LONGEST_LIFE, True),
        (START, False),
        (START - 1, False),
        (60, False),
        ((START + 60) * 1_000, False),
        ("01/15/2027 08:00:00 +00:00", False),
    ],
)
def test_moment_of_expiry(value: Any, good: bool) -> None:
    """Where a provider names the moment instead, it is one in epoch seconds, within seven days from now."""
    if good:
        assert ends(value, asked(), since_epoch=True) == float(value)
    else:
        assert refused(lambda: ends(value, asked(), since_epoch=True)).code == "bad_lifetime"


@pytest.mark.parametrize(
    ("value", "exp", "lives"),
    [
        (3600, START + 60, 60),
        (60, START + 3600, 60),
        (60, START + 10 * LONGEST_LIFE, 60),
        (None, START + 60, 60),
        (None, START + 60.5, 60.5),
        (None, str(int(START) + 60), 60),
        (60, "never", 60),
        (60, True, 60),
        (60, None, 60),
        (3600, START, None),
        (3600, START - 1, None),
        (3600, 0, None),
        (3600, -1, None),
        (None, START - 1, None),
        (None, START + LONGEST_LIFE + 1, None),
        ("soon", START + 60, None),
        (0, START + 60, None),
    ],
)
def test_claim_wins_if_it_is_earlier(value: Any, exp: Any, lives: float | None) -> None:
    """A JWT ends when it says itself, if that is before what the answer says; both must be believable."""
    if lives is None:
        assert refused(lambda: ends(value, asked(), jwt=jwt(exp=exp))).code == "bad_lifetime"
    else:
        assert ends(value, asked(), jwt=jwt(exp=exp)) == START + lives


@pytest.mark.parametrize(
    ("text", "warned"), [("opaque", True), (jwt(sub="s"), True), (jwt(exp=START + 600), False)], ids=str
)
def test_nobody_says_how_long(text: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Five minutes are assumed where neither the answer nor the token says, and the log tells so once."""
    lives = ends(None, asked(), jwt=text) - START

    assert lives == (300 if warned else 600)
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    assumed = (logging.WARNING, f"{WHAT}: the answer does not say how long the token lives; 5 minutes are assumed")
    assert said == ([assumed] if warned else [])


# What a token is

TOKENS = ["a", "!", "~", jwt(exp=1), "x" * LONGEST_TOKEN]
NO_TOKENS: list[Any] = [
    *(
        "",
        " ",
        "a b",
        "a\n",
        "\na",
        "a\r\nX: y",
        "a\tb",
        "a\0",
        "é",
        "a\x7f",
        "ａ",
        "\ud800",
        "x" * (LONGEST_TOKEN + 1),
    ),
    *(None, 1, 1.5, True, [], ["a"], {}, {"a": 1}),
]


@pytest.mark.parametrize("text", TOKENS, ids=lambda text: text[:20])
def test_header_safe_tokens_pass(text: str) -> None:
    """Any visible ASCII without spaces can stand in a header."""
    assert checked(text, WHAT) == text


@pytest.mark.parametrize("text", NO_TOKENS, ids=lambda text: ascii(text)[:20])
def test_header_unsafe_tokens_are_refused(text: Any) -> None:
    """What would break a header, or is no text, is never handed out, whatever else the answer says."""
    for failing in (
        lambda: checked(text, WHAT),
        lambda: token(answer({"access_token": text, "expires_in": 9}), asked()),
    ):
        error = refused(failing)
        assert (type(error), error.code, error.message) == (
            SourceFailed,
            "bad_answer",
            f"{WHAT}: an answer that makes no sense",
        )


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", "BearerToken", "N_A", "n_a"])
def test_bearer_by_its_names(kind: str) -> None:
    """The type of a token is compared without case (RFC 6749 section 5.1), in all its names."""
    assert token(answer({"access_token": "t", "expires_in": 9, "token_type": kind}), asked()).token == "t"


@pytest.mark.parametrize("kind", ["mac", "DPoP", "dpop", "pop", "", " bearer", 1, ["Bearer"], {}], ids=repr)
def test_other_types_are_refused(kind: Any) -> None:
    """A token that must be proven with each request is of no use in a header that stays the same."""
    error = refused(lambda: token(answer({"access_token": "t", "expires_in": 9, "token_type": kind}), asked()))

    assert (type(error), error.code) == (SourceRefused, "token_type")
    assert error.hint


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"null", b"true", b'"text"', b"1", b"[]", b'[{"access_token": "t", "expires_in": 60}]'),
        *(b"{", b"{}", b"<html>", b"access_token=t&expires_in=60", b'{"access_token": "t", "expires_in": 60} x'),
        b'{"access_token": "t", "access_token": "u", "expires_in": 60}',
        b'{"access_token": "t", "expires_in": 60, "expires_in": 6000}',
        b'{"access_token": "t", "expires_in": 60, "more": {"a": 1, "a": 2}}',
        b'{"access_token": "t", "expires_in": NaN}',
        b'{"access_token": "t", "expires_in": Infinity}',
        b'{"access_token": "t", "expires_in": 60, "more": -Infinity}',
        b"{'access_token': 't', 'expires_in': 60}",
        b'{"access_token": "t\n", "expires_in": 60}',
        b'{"access_token": "t", "expires_in": 60, "more": "\xff"}',
        '{"access_token": "t", "expires_in": 60}'.encode("utf-16"),
        '{"access_token": "t", "expires_in": 60}'.encode("utf-16-le"),
        b'{"access_token": "t", "expires_in": ' + b"9" * 5_000 + b"}",
        b'{"access_token": "t", "more": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=lambda body: ascii(body)[:40],
)
def test_only_one_plain_object_is_an_answer(body: bytes) -> None:
    """What is not one JSON object in UTF-8, said once and without the numbers that JSON lacks, is no answer."""
    error = refused(lambda: token(answer(body), asked()))

    assert isinstance(error, SourceFailed)
    assert error.code in {"bad_answer", "bad_lifetime"}


@pytest.mark.parametrize("text", ["[" * 2 * DEEPEST, '\\"' + "[" * 2 * DEEPEST, "\\\\" + "{" * 2 * DEEPEST + '\\"]'])
def test_brackets_in_a_text_are_no_depth(text: str) -> None:
    """Only what is nested counts: just as deep as is allowed passes, one deeper does not, with any text within."""
    deepest = (DEEPEST - 1) * "[" + f'"{text}"' + (DEEPEST - 1) * "]"

    assert members(f'{{"more": {deepest}}}'.encode()) is not None
    assert members(f'{{"more": [{deepest}]}}'.encode()) is None


@pytest.mark.parametrize("member", ["token_type", "scope", "expires_in", "error", "error_description", "fault", "code"])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [*range(50, 1_100, 150), 5_000, 10_000])
def test_depth_is_no_crash(member: str, opens: str, closes: str, depth: int) -> None:
    """However deep a member goes, what comes out is a token or an error of ours."""
    body = f'{{"access_token": "t", "{member}": {opens * depth}1{closes * depth}}}'.encode()

    assert isinstance(refusal(answer(body, 400), WHAT), MintError)
    assert isinstance(tried(lambda: token(answer(body), asked())), (BearerToken, SourceFailed, SourceRefused))


# What a token says of itself


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (jwt(sub="s"), {"sub": "s"}),
        (f"..{part({'sub': 's'})}", {}),
        (f".{part({'sub': 's'})}.", {"sub": "s"}),
        (f"{part({'sub': 's'})}", {}),
        ("", {}),
        ("a.b", {}),
        ("a.b.c", {}),
        ("a.é.c", {}),
        (f"a.{part(['sub'])}.c", {}),
        (f"a.{part('sub')}.c", {}),
        (f"a.{part({'sub': 's'})}.c.d", {}),
        (f"a.{base64.urlsafe_b64encode(b'{' * 9_000).decode()}.c", {}),
        ("a." + "x" * 5 + ".c", {}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_claims(text: str, found: dict[str, str]) -> None:
    """The claims of a JWT are read where it is one, and nothing is made of anything else."""
    assert claims(text) == found


@pytest.mark.parametrize(
    ("said", "principal"),
    [
        ({"email": "a@p.iam.gserviceaccount.com", "sub": "123"}, "a@p.iam.gserviceaccount.com"),
        ({"appid": "app", "azp": "party", "sub": "s"}, "app"),
        ({"azp": "party", "client_id": "c"}, "party"),
        ({"client_id": "c", "sub": "s"}, "c"),
        ({"sub": "urn:a|b/c"}, "urn:a|b/c"),
        ({"sub": 7}, "7"),
        ({"sub": ""}, ""),
        ({"email": "two words", "sub": "s"}, "s"),
        ({"sub": "forged\nline"}, ""),
        ({"sub": "s\n"}, ""),
        ({"sub": "naïve"}, ""),
        ({"sub": "x" * 251}, ""),
        ({"sub": {"a": 1}}, ""),
        ({"sub": ["s"]}, ""),
    ],
    ids=str,
)
def test_principal_is_one_word(said: Mapping[str, Any], principal: str) -> None:
    """Who a token acts as goes into logs and the audit: one word of plain characters, or nothing."""
    assert acts_as(jwt(**said)) == principal


# What was granted


@pytest.mark.parametrize(
    ("body", "scopes", "optional", "granted"),
    [
        ({}, ["read"], [], "read"),
        ({}, [], [], None),
        ({"scope": None}, ["read"], [], "read"),
        ({"scope": "read"}, [], [], "read"),
        ({"scope": "read write"}, ["write", "read"], [], "read write"),
        ({"scope": "read"}, ["read", "write"], ["write"], "read"),
        ({"scope": ""}, ["write"], ["write"], None),
        ({"access_token": jwt(scope="read")}, ["read"], [], "read"),
        ({"access_token": jwt(scp="read write")}, ["read"], [], "read write"),
        ({"access_token": jwt(scp=["read", "write"])}, ["read"], [], "read write"),
        ({"access_token": jwt(scp=["read"]), "scope": "read write"}, ["read"], [], "read write"),
        ({"access_token": jwt(sub="s")}, ["read"], [], "read"),
        ({"access_token": jwt("at+jwt", scope="read")}, ["read"], [], "read"),
        ({"access_token": jwt("at+jwt")}, [], [], None),
        ({"scope": "read for\x7fged x"}, ["read"], [], "read x"),
        ({"scope": ["read", 7, None, {}, "two words"]}, ["read"], [], "read"),
    ],
    ids=str,
)
def test_grant_is_recorded(
    body: Mapping[str, Any], scopes: Sequence[str], optional: Sequence[str], granted: str | None
) -> None:
    """What was granted is what the answer says, else what the JWT lists, else what was asked (RFC 6749 section 5.1)."""
    whole = {"access_token": "opaque", "expires_in": 60, **body}

    assert token(answer(whole), asked(*scopes, optional=optional)).scope == granted


@pytest.mark.parametrize(
    ("body", "scopes", "optional", "missing"),
    [
        ({"scope": "read"}, ["read", "write"], [], "write"),
        ({"scope": ""}, ["read"], [], "read"),
        ({"scope": "reads"}, ["read"], [], "read"),
        ({"scope": "READ"}, ["read"], [], "read"),
        ({"scope": []}, ["read", "write"], [], "read write"),
        ({"scope": {"read": 1}}, ["read"], [], "read"),
        ({"scope": 1}, ["read"], [], "read"),
        ({"scope": "read"}, ["read", "write", "list"], ["list"], "write"),
        ({"access_token": jwt(scp=["write"])}, ["read"], [], "read"),
        ({"access_token": jwt("at+jwt")}, ["read"], [], "read"),
        ({"access_token": jwt("application/at+jwt")}, ["read"], [], "read"),
        ({"access_token": jwt("AT+JWT")}, ["read"], [], "read"),
    ],
    ids=str,
)
def test_less_than_asked_is_refused(
    body: Mapping[str, Any], scopes: Sequence[str], optional: Sequence[str], missing: str
) -> None:
    """A grant that is narrower than asked is refused, naming what is missing and how to do without it."""
    whole = {"access_token": "opaque", "expires_in": 60, **body}
    error = refused(lambda: token(answer(whole), asked(*scopes, optional=optional)))

    assert (type(error), error.code) == (SourceRefused, "scope_narrowed")
    assert error.message == f"{WHAT}: granted without {missing}"
    assert "scopes_optional" in str(error.hint)


def test_grant_of_another_member() -> None:
    """A JWT that lists less than asked is noticed wherever the answer holds it."""
    body = {"id_token": jwt("at+jwt", exp=START + 60)}

    assert refused(lambda: token(answer(body), asked("read"), member="id_token")).code == "scope_narrowed"


# What it says when it says no

KNOWN = OAUTH.with_(
    {"AADSTS7000215": "the client secret", "Forbidden": "access policies"},
    transient={"AADSTS90033"},
    proof={"AADSTS7000215", "oauth.v2.InvalidClientIdentifier"},
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "proof"),
    [
        (400, {"error": "invalid_grant", "error_description": CANARY}, SourceRefused, "invalid_grant", False),
        (401, {"error": "invalid_client"}, SourceRefused, "invalid_client", True),
        (400, {"error": "invalid_client"}, SourceRefused, "invalid_client", True),
        (400, {"error": "invalid_scope", "error_uri": CANARY}, SourceRefused, "invalid_scope", False),
        (
            401,
            {"error": "invalid_client", "error_description": f"AADSTS7000215: {CANARY}", "error_codes": [7000215]},
            SourceRefused,
            "AADSTS7000215",
            True,
        ),
        (
            400,
            {"error": "temporarily_unavailable", "error_description": f"AADSTS90033: {CANARY}"},
            SourceFailed,
            "AADSTS90033",
            False,
        ),
        (
            403,
            {"error": {"code": 403, "message": CANARY, "status": "PERMISSION_DENIED"}},
            SourceRefused,
            "PERMISSION_DENIED",
            False,
        ),
        (403, {"error": {"code": "Forbidden", "innererror": {"code": CANARY}}}, SourceRefused, "Forbidden", False),
        (401, {"errorCode": "E0000011", "errorSummary": CANARY, "errorId": "oae"}, SourceRefused, "E0000011", False),
        (400, {"ErrorCode": "invalid_request", "Error": CANARY}, SourceRefused, "invalid_request", False),
        (
            401,
            {"fault": {"faultstring": CANARY, "detail": {"errorcode": "oauth.v2.InvalidClientIdentifier"}}},
            SourceRefused,
            "oauth.v2.InvalidClientIdentifier",
            True,
        ),
        (500, {"fault": {"detail": {"errorcode": "steps.oauth.v2.X"}}}, SourceFailed, "steps.oauth.v2.X", False),
        (400, {"code": "use_dpop_nonce"}, SourceRefused, "use_dpop_nonce", False),
        (400, {"error": "server_error"}, SourceFailed, "server_error", False),
        (400, {"error": "slow_down"}, SourceFailed, "slow_down", False),
        (400, {"error": "internal_failure"}, SourceFailed, "internal_failure", False),
        (408, {"error": "invalid_request"}, SourceFailed, "invalid_request", False),
        (425, {}, SourceFailed, "HTTP 425", False),
        (429, {"error": "too_many_requests"}, SourceFailed, "too_many_requests", False),
        (500, {"error": "invalid_client"}, SourceFailed, "invalid_client", False),
        (503, b"", SourceFailed, "HTTP 503", False),
        (502, b"<html>", SourceFailed, "HTTP 502", False),
        (400, {}, SourceRefused, "HTTP 400", False),
        (401, {}, SourceRefused, "HTTP 401", True),
        (401, b"<html>", SourceRefused, "HTTP 401", True),
        (401, b"", SourceRefused, "HTTP 401", True),
        (403, b"<html>", SourceFailed, "HTTP 403", False),
        (404, b"", SourceFailed, "HTTP 404", False),
        (204, b"", SourceFailed, "HTTP 204", False),
        (400, {"error": None, "fault": None, "code": 7}, SourceRefused, "HTTP 400", False),
        (400, {"error": {"status": ["X"]}, "fault": {"detail": "X"}}, SourceRefused, "HTTP 400", False),
    ],
)
def test_refusal_in_each_form(status: int, body: object, kind: type[MintError], code: str, proof: bool) -> None:
    """Each provider's code is found where it puts it; what may pass by itself is told from a no."""
    error = refusal(answer(body, status, X_Request_Id=ID), WHAT, KNOWN)

    assert (type(error), error.code, error.proof_rejected, error.request_id) == (kind, code, proof, ID)
    assert error.message.startswith(f"{WHAT}: answered {status}")
    assert CANARY not in story(error)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ({"error": "invalid_client", "error_description": CANARY}, SourceRefused, "invalid_client"),
        ({"error": "temporarily_unavailable"}, SourceFailed, "temporarily_unavailable"),
        ({"error": CANARY}, SourceFailed, "bad_answer"),
        ({"error": "secret_1"}, SourceRefused, "HTTP 200"),
    ],
)
def test_no_in_a_yes(body: object, kind: type[MintError], code: str) -> None:
    """A refusal is one whatever its status: some answer 200 and say in the body that they did nothing."""
    error = refused(lambda: token(answer(body), asked(), sent=["secret_1"]))

    assert (type(error), error.code) == (kind, code)
    assert CANARY not in story(error)


def test_yes_in_a_no() -> None:
    """A token in an error is not taken."""
    body = {"access_token": "t", "token_type": "Bearer", "expires_in": 60}

    assert refused(lambda: token(answer(body, 400), asked())).code == "HTTP 400"


@pytest.mark.parametrize(("body", "stranger"), [(b"<html>", True), ({}, False)])
def test_stranger_is_named(body: object, stranger: bool) -> None:
    """A page where JSON is due comes from a firewall or gateway, and the message says so."""
    assert ("something that is not the provider" in str(refusal(answer(body, 403), WHAT))) is stranger


@pytest.mark.parametrize(
    "code",
    [
        *(CANARY, "x" * 81, "", " invalid_client", "invalid_client ", "invalid_client\n", "a\nforged line", "7", "é"),
        *("invalid-", "a..b", "a=b", "a/b", "<b>", "{x}", '"', "\x7f", "ｉnvalid", "AADSTS1\n"),
        *(7, 1.5, True, None, ["invalid_client"], []),
    ],
    ids=repr,
)
def test_code_that_is_none(code: Any) -> None:
    """What does not look like a code is left out, and the status stands for it."""
    error = refusal(answer({"error": code, "error_description": code}, 400), WHAT)

    assert (error.code, error.message) == ("HTTP 400", f"{WHAT}: answered 400")


@pytest.mark.parametrize(
    ("said", "kept"), [("secret_1", False), ("my_secret_1_here", False), ("secret", False), ("x", True)]
)
def test_code_that_repeats_a_secret(said: str, kept: bool) -> None:
    """A code that holds a secret of the request, or a piece of one, is not kept."""
    error = refusal(answer({"error": said}, 400), WHAT, sent=["other", "secret_1"])

    assert error.code == (said if kept else "HTTP 400")
    assert kept or "secret" not in story(error)


@pytest.mark.parametrize("code", sorted(OAUTH.hints))
def test_known_codes_have_hints(code: str) -> None:
    """The codes of RFC 6749 and RFC 8707 come with what to try."""
    assert refusal(answer({"error": code}, 400), WHAT).hint == OAUTH.hints[code]


def test_provider_adds_its_codes() -> None:
    """A provider's own codes join the common ones, which stay as they are."""
    assert KNOWN.hints["invalid_client"] == OAUTH.hints["invalid_client"]
    assert KNOWN.transient > OAUTH.transient
    assert KNOWN.proof > OAUTH.proof
    assert OAUTH.hints.keys() & {"AADSTS7000215", "Forbidden"} == set()
    assert Codes().with_({}) == Codes()


@pytest.mark.parametrize(("status", "hinted"), [(401, True), (400, False)])
def test_unexplained_401_is_about_the_proof(status: int, hinted: bool) -> None:
    """Whoever is refused with 401 and no code is told to look at what proves it."""
    error = refusal(answer(b"", status), WHAT)

    assert (error.hint == OAUTH.hints["invalid_client"]) is hinted


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "999999"}, 999_999.0),
        ({"Retry_After": "1000000"}, None),
        ({"Retry_After": "-1"}, None),
        ({"Retry_After": "1.5"}, None),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "²"}, None),
        ({"Retry_After": "7, 7"}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"Retry_After": "Wed, 21 Oct 2026 09:28:30 +0200", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:30 -0000", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "yesterday"}, None),
        ({"Retry_After": "Wed, 99 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry_After": "Fri, 31 Dec 9999 23:59:59 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [429, 503])
def test_asks_us_to_wait(headers: Mapping[str, str], seconds: float | None, status: int) -> None:
    """Retry-After in seconds, or as a date after the answer's own, is kept; what nobody would wait for is not."""
    assert refusal(answer({}, status, **headers), WHAT).retry_after == seconds


@pytest.mark.parametrize(
    "name", ["x-ms-request-id", "x-okta-request-id", "x-amzn-requestid", "x-request-id", "x-correlation-id"]
)
def test_request_id_by_its_names(name: str) -> None:
    """The provider's id of the request is found where it puts it."""
    assert request_id(Answer(200, {name: ID}, b"")) == ID


@pytest.mark.parametrize(
    "value",
    ["", "short", f"{CANARY} forged", "a\nforged", "x" * 129, f"{ID}\n", f" {ID}", "{id}", "é" * 20, "<b>abcdef"],
)
def test_request_id_that_is_none(value: str) -> None:
    """What does not look like an id is left out of errors and credentials."""
    assert request_id(Answer(200, {"x-request-id": value}, b"")) is None


def test_request_id_that_repeats_a_secret() -> None:
    """An id that holds a secret of the request is not kept either."""
    error = refusal(answer({}, 400, X_Request_Id="secret_1_echo"), WHAT, sent=["secret_1"])

    assert "secret_1" not in story(error)


# Whatever comes

WORDS = st.sampled_from(
    [
        "access_token",
        "token_type",
        "expires_in",
        "expires_on",
        "scope",
        "error",
        "error_description",
        "fault",
        "detail",
        "errorcode",
        "errorCode",
        "ErrorCode",
        "code",
        "status",
    ]
)
TEXT = st.one_of(
    st.text(max_size=20).map(lambda text: f"{text} {CANARY}"),
    st.just("canary" * 20),
    st.sampled_from(["Bearer", "60", "-1", "read", jwt(exp=START + 60), jwt(exp=1), "AADSTS70043: canary", "\ud800"]),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-10, 700_000))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | TEXT, inner, max_size=4), max_leaves=8
)
OBJECTS = st.dictionaries(WORDS, TREES, max_size=6)
BODIES = st.one_of(st.binary(max_size=200), OBJECTS.map(lambda tree: json.dumps(tree).encode()))
VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from([ID, "7", CANARY]),
    st.from_regex(
        re.compile(r"[A-Za-z]{3}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{2,5} [0-9:]{1,9}( ?[+-][0-9]{2,9}| GMT|)", re.ASCII),
        fullmatch=True,
    ),
)
HEADERS = st.dictionaries(st.sampled_from(["date", "retry-after", "x-request-id", "x-ms-request-id"]), VALUES)


def keeps_to_itself(error: MintError) -> None:
    assert "canary" not in story(error)
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert error.__context__ is None
    assert error.__cause__ is None
    assert error.retry_after is None or 0 <= error.retry_after < 1e6


@given(BODIES, HEADERS, st.integers(100, 999))
def test_any_refusal_is_in_our_words(body: bytes, headers: dict[str, str], status: int) -> None:
    """Whatever the body and headers, a refusal is an error of ours that repeats no text of them but a code."""
    error = refusal(Answer(status, headers, body), WHAT)

    assert isinstance(error, SourceFailed if status >= 500 else MintError)
    keeps_to_itself(error)


@given(BODIES, HEADERS, st.lists(st.sampled_from(["read", "write"])))
def test_any_answer_is_a_token_or_an_error(body: bytes, headers: dict[str, str], scopes: list[str]) -> None:
    """Whatever the body and headers, out comes a token that a header can carry and that ends, or an error of ours."""
    found = tried(lambda: token(Answer(200, headers, body), asked(*scopes)))
    if isinstance(found, MintError):
        keeps_to_itself(found)
    else:
        assert re.fullmatch("[!-~]+", found.token)
        assert found.expires_at is not None
        assert START < found.expires_at <= START + LONGEST_LIFE
        assert set(scopes) <= set((found.scope or "").split())


@given(TREES, st.booleans(), st.one_of(TREES.map(lambda exp: jwt(exp=exp)), st.text(), st.just("")))
def test_any_lifetime_ends(value: Any, since_epoch: bool, text: str) -> None:
    """Whatever is said of a lifetime, it ends within seven days, after the request, or is refused."""
    end = tried(lambda: ends(value, asked(), since_epoch=since_epoch, jwt=text))
    if isinstance(end, MintError):
        assert (type(end), end.code) == (SourceFailed, "bad_lifetime")
        keeps_to_itself(end)
    else:
        assert START < end <= START + LONGEST_LIFE


@given(BODIES)
def test_any_object_is_read_as_json_says(body: bytes) -> None:
    """What is read of a body is what JSON says of it, or nothing."""
    found = members(body)

    assert found is None or found == json.loads(body)
