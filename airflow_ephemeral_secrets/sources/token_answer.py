"""
What a token endpoint answered: a token, believed only within reason, or a refusal in our words.

It reads the answers of RFC 6749 and of those who answer almost so: Entra ID and the metadata services of Azure,
Google, Apigee, Okta.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Any, NoReturn

from msgspec import Struct

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources.exchange import Answer

LONGEST_LIFE = 7 * 24 * 3600.0
ASSUMED_LIFE = 300.0
LONGEST_TOKEN = 48 * 1024
LONGEST_WAIT = 999_999.0
DEEPEST = 100
BEARER = frozenset({"bearer", "bearertoken", "n_a"})
"""Types of a token to be sent as ``Bearer``; Apigee says ``BearerToken``, RFC 8693 ``N_A`` where none applies."""

_TOKEN = re.compile(r"[!-~]+")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]*([.:-][A-Za-z0-9_]+)*")
_LONGEST_CODE = 80
_ENTRA = re.compile(r"AADSTS[0-9]{4,10}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{5,127}")
_REQUEST_IDS = ("x-ms-request-id", "x-okta-request-id", "x-amzn-requestid", "x-request-id", "x-correlation-id")
_WORDS = re.compile(r"[\w.@:/|+=,-]{1,250}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}")

log = logging.getLogger(__name__)


class Codes(Struct, frozen=True, kw_only=True):
    """
    The error codes of a provider.

    :param hints: what to try, by code
    :param transient: those that may pass by themselves
    :param proof: those that say that what proves us is wrong or has expired
    """

    hints: Mapping[str, str] = {}
    transient: frozenset[str] = frozenset()
    proof: frozenset[str] = frozenset()

    def with_(self, hints: Mapping[str, str], *, transient: Iterable[str] = (), proof: Iterable[str] = ()) -> Codes:
        """Add a provider's own."""
        return Codes(
            hints={**self.hints, **hints}, transient=self.transient.union(transient), proof=self.proof.union(proof)
        )


OAUTH = Codes(
    hints={
        "invalid_client": "client_id, the secret or key (expired or rotated?), client_auth as the server wants it",
        "invalid_grant": "the assertion or subject token: its key, audience and expiry, and this host's clock",
        "unauthorized_client": "allowing this client this grant at the authorization server",
        "unsupported_grant_type": "grant, and whether token_url is the token endpoint",
        "invalid_scope": "scopes that the server knows and grants to this client",
        "invalid_target": "audience or resource, as the server knows the API",
        "invalid_request": "client_auth, and the fields that this server demands",
        "access_denied": "the server's policies for this client",
    },
    transient=frozenset({"temporarily_unavailable", "server_error", "slow_down", "internal_failure"}),
    proof=frozenset({"invalid_client"}),
)
"""RFC 6749 section 5.2, RFC 8707."""


class Asked(Struct, frozen=True, kw_only=True):
    """
    What was asked for.

    :param what: the request, of whom, for messages
    :param at: the moment before the request
    :param scopes: what must be granted
    :param scopes_optional: what of that need not
    """

    what: str
    at: Instant
    scopes: Sequence[str] = ()
    scopes_optional: Collection[str] = ()


def token(
    answer: Answer,
    asked: Asked,
    *,
    principal: str = "",
    member: str = "access_token",
    codes: Codes = OAUTH,
    sent: Iterable[str] = (),
) -> BearerToken:
    """
    Take the token of an answer (RFC 6749 section 5.1).

    Expiry counts from before the request; where the token is a JWT (RFC 7519) its ``exp`` wins if it is earlier.

    :param principal: who it acts as, where the token does not say
    :param member: what holds the token
    :param codes: the provider's own error codes
    :param sent: secrets of the request
    :raises SourceFailed: when it makes no sense
    :raises SourceRefused: when the provider says no, whatever the status, or grants less than was asked for
    """
    found = members(answer.body)
    if answer.status >= 400 or (found is not None and member not in found and _code(found)):
        raise refusal(answer, asked.what, codes, sent=sent)
    if answer.status not in (200, 201) or found is None or not isinstance(found.get(member), str):
        raise nonsense(asked.what)
    if str(found.get("token_type", "bearer")).lower() not in BEARER:
        raise SourceRefused(
            f"{asked.what}: the token is of a type that cannot be sent as Bearer",
            code="token_type",
            hint="letting the server issue bearer tokens to this client (neither DPoP nor MAC)",
        )
    text = found[member]
    end = ends(found.get("expires_in", found.get("expires_on")), asked, since_epoch="expires_in" not in found, jwt=text)
    return BearerToken(
        token=checked(text, asked.what),
        expires_at=end,
        principal=acts_as(text) or principal,
        scope=_granted(found, text, asked),
        request_id=request_id(answer, (*sent, text)),
    )


def ends(value: Any, asked: Asked, *, since_epoch: bool = False, jwt: str = "") -> float:
    """
    Say when a token expires, in epoch seconds.

    :param value: seconds it lives, as a number or a string of one; None where nobody says
    :param since_epoch: whether the value is a moment (epoch seconds) instead
    :param jwt: the token, whose ``exp`` wins if it is earlier
    :raises SourceFailed: when its life is not between 0 s and seven days
    """
    said = _seconds(claims(jwt).get("exp"))
    if value is None and said is None:
        log.warning("%s: the answer does not say how long the token lives; 5 minutes are assumed", asked.what)
        value, since_epoch = ASSUMED_LIFE, False
    lives = [said - asked.at.wall] if said is not None else []
    if value is not None:
        number = _seconds(value)
        lives.append(float("nan") if number is None else number - (asked.at.wall if since_epoch else 0.0))
    if not (0 < lives[-1] <= LONGEST_LIFE and asked.at.wall < asked.at.wall + min(lives)):
        raise SourceFailed(
            f"{asked.what}: the token's lifetime is not a number of seconds between 0 and seven days",
            code="bad_lifetime",
            hint="the token lifetime at the provider, and this host's clock",
        )
    return asked.at.wall + min(lives)


def _seconds(value: Any) -> float | None:
    """Read a finite number, or a string of one."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if usable else None


def checked(text: Any, what: str) -> str:
    """
    Let through a token that a header can carry: visible ASCII without spaces, at most 48 KiB.

    :raises SourceFailed: for any other
    """
    if not isinstance(text, str) or len(text) > LONGEST_TOKEN or not _TOKEN.fullmatch(text):
        raise nonsense(what)
    return text


def claims(jwt: str) -> Mapping[str, Any]:
    """
    Read the claims of a JWT without verifying it, for we are not its audience.

    :return: nothing where it is not one
    """
    return _part(jwt, 1) or {}


def acts_as(jwt: str) -> str:
    """Name whom a JWT is about: what its ``appid``, ``azp``, ``client_id``, ``email`` or ``sub`` says."""
    found = claims(jwt)
    names = [str(found[name]) for name in ("email", "appid", "azp", "client_id", "sub") if found.get(name)]
    return next((name for name in names if _WORDS.fullmatch(name)), "")


def _part(jwt: str, index: int) -> dict[str, Any] | None:
    parts = jwt.split(".")
    if len(parts) != 3:
        return None
    try:
        raw = base64.urlsafe_b64decode(parts[index] + "=" * (-len(parts[index]) % 4))
    except ValueError:
        return None
    return members(raw)


def _granted(found: Mapping[str, Any], text: str, asked: Asked) -> str | None:
    """
    Compare what was granted with what was asked for.

    A missing ``scope`` means that all was granted (RFC 6749 section 5.1), unless the token is a JWT that lists less.
    """
    said = claims(text)
    listed = [value for value in (found.get("scope"), said.get("scope"), said.get("scp")) if value is not None]
    if not listed and not _is_access_token(text):
        return " ".join(asked.scopes) or None
    given = listed[0] if listed else []
    granted = given if isinstance(given, list) else str(given).split()
    missing = [scope for scope in asked.scopes if scope not in granted and scope not in asked.scopes_optional]
    if missing:
        raise SourceRefused(
            f"{asked.what}: granted without {' '.join(missing)}",
            code="scope_narrowed",
            hint="granting them to this client, or asking for fewer (scopes, scopes_optional)",
        )
    return " ".join(scope for scope in granted if isinstance(scope, str) and _WORDS.fullmatch(scope)) or None


def _is_access_token(jwt: str) -> bool:
    """Say whether a JWT is an access token by RFC 9068, which lists its scopes whenever it has any."""
    return str((_part(jwt, 0) or {}).get("typ", "")).lower().removeprefix("application/") == "at+jwt"


def refusal(answer: Answer, what: str, codes: Codes = OAUTH, *, sent: Iterable[str] = ()) -> MintError:
    """
    Say in our words what a bad answer says; of its body only the provider's code is kept.

    :param what: the request, of whom
    :param sent: secrets of the request: a code that repeats one is not kept
    """
    found = members(answer.body)
    code = _code(found) if found is not None else None
    if code and _repeats(code, sent):
        code = None
    status = answer.status
    word = code or f"HTTP {status}"
    details: dict[str, Any] = {"code": word, "hint": codes.hints.get(word), "request_id": request_id(answer, sent)}
    said = f"{what}: answered {status}" + (f" {code}" if code else "")
    transient = status in (408, 425, 429) or status >= 500 or word in codes.transient
    if transient or (found is None and status != 401):
        stranger = "" if found is not None or transient else ", by something that is not the provider"
        return SourceFailed(said + stranger, retry_after=_retry_after(answer), **details)
    rejected = word in codes.proof or (status == 401 and code is None)
    if rejected and not details["hint"]:
        details["hint"] = codes.hints.get("invalid_client")
    return SourceRefused(said, proof_rejected=rejected, **details)


def _code(found: Mapping[str, Any]) -> str | None:
    """Find the provider's code in the forms of RFC 6749, Entra ID, Google, Key Vault, Okta and Apigee."""
    error, fault = found.get("error"), found.get("fault")
    entra = _ENTRA.match(str(found.get("error_description")))
    inside = error if isinstance(error, Mapping) else {}
    detail = fault.get("detail") if isinstance(fault, Mapping) else None
    candidates = [
        entra[0] if entra else None,
        error,
        inside.get("status"),
        inside.get("code"),
        detail.get("errorcode") if isinstance(detail, Mapping) else None,
        found.get("errorCode"),
        found.get("ErrorCode"),
        found.get("code"),
    ]
    words = [word for word in candidates if isinstance(word, str) and len(word) <= _LONGEST_CODE]
    return next((word for word in words if _CODE.fullmatch(word)), None)


def request_id(answer: Answer, sent: Iterable[str] = ()) -> str | None:
    """
    Take the provider's id of a request from the headers of its answer, if it looks like one.

    :param sent: secrets that it must not repeat
    """
    names = (answer.headers.get(name, "") for name in _REQUEST_IDS)
    return next((name for name in names if _REQUEST_ID.fullmatch(name) and not _repeats(name, sent)), None)


def _repeats(word: str, secrets: Iterable[str]) -> bool:
    return any(secret in word or word in secret for secret in secrets)


def _retry_after(answer: Answer) -> float | None:
    """Read ``Retry-After`` (RFC 9110) in seconds; a date counts from the answer's own."""
    value = answer.headers.get("retry-after", "")
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        wait = (parsedate_to_datetime(value) - parsedate_to_datetime(answer.headers["date"])).total_seconds()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return max(0.0, wait) if wait <= LONGEST_WAIT else None


def nonsense(what: str) -> SourceFailed:
    """Say that an answer is not one to the question."""
    return SourceFailed(f"{what}: an answer that makes no sense", code="bad_answer")


def members(body: bytes) -> dict[str, Any] | None:
    """
    Read a JSON object (RFC 8259) without duplicate keys and without the numbers that JSON does not have.

    :return: None where it is not one
    """
    try:
        text = shallow(body.decode("utf-8-sig"))
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def shallow(text: str) -> str:
    """Let JSON pass, or raise ValueError if it is nested deeply (RFC 8259, section 9), whatever a parser could take."""
    outside_strings = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    steps = (1 if bracket in "[{" else -1 for bracket in outside_strings if bracket in "[]{}")
    if max(accumulate(steps), default=0) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST}")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError
