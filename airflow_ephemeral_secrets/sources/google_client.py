"""What a mint says to Google: each request one bounded exchange, each answer read by our rules, errors in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from msgspec import Struct

from airflow_ephemeral_secrets.clock import Deadline, Instant
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network, user_agent
from airflow_ephemeral_secrets.sources.exchange import Answer, exchange, host
from airflow_ephemeral_secrets.sources.silence import silence
from airflow_ephemeral_secrets.sources.token_answer import (
    OAUTH,
    Asked,
    Codes,
    acts_as,
    checked,
    claims,
    ends,
    members,
    nonsense,
    refusal,
)

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  # it is where tokens are, not one
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
SIGN_IN = ("openid", "email", "profile")
"""Scopes that Google grants under longer names."""
REASON = 250
_SECRET_FIELDS = frozenset({"assertion", "client_secret", "refresh_token", "subject_token"})
_UNFIT = re.compile(r"[^A-Za-z0-9_+,.@:/-]")
_DELEGATION = (
    "domain-wide delegation of exactly these scopes to the service account's client id in the Google Workspace admin "
    "console"
)

CODES = OAUTH.with_(
    {
        "PERMISSION_DENIED": "roles/iam.serviceAccountTokenCreator on the impersonated account for whoever acts as it, "
        "and on each next one for each of delegates; cloud-platform among the access scopes of a Compute Engine "
        "instance; the IAM Service Account Credentials API enabled",
        "NOT_FOUND": "the service account's email, and those of delegates",
        "INVALID_ARGUMENT": "scopes, audience, and a ttl of at most 1h "
        "(12h where iam.allowServiceAccountCredentialLifetimeExtension allows it)",
        "UNAUTHENTICATED": "the worker's own identity: its token was not accepted",
        "FAILED_PRECONDITION": "the service account: it may be disabled",
        "invalid_grant": "the key or refresh token (deleted, disabled, expired?), its account, subject, the provider "
        "of the workload identity pool, and this host's clock",
        "unauthorized_client": _DELEGATION,
        "access_denied": _DELEGATION,
        "invalid_scope": "scopes: Google knows none of this name, or this account may not have it",
        "invalid_target": "audience in the credentials file: the workload identity pool and its provider",
        "invalid_request": "the workload identity pool and its provider, as the credentials file names them",
        "deleted_client": "the OAuth client of the authorized user: it was deleted",
    },
    transient={"RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "ABORTED"},
    proof={"invalid_grant", "UNAUTHENTICATED"},
)
"""Those of Google's APIs (google.rpc.Code) and of its token endpoints."""

T = TypeVar("T")


class Wanted(Struct, frozen=True, kw_only=True):
    """
    The access token that is wanted.

    :param scopes: what must be granted
    :param lifetime: seconds it shall live, where that can be chosen
    :param subject: the user to act as, by domain-wide delegation
    :param handed_out: whether it is what was asked for, and not a step on the way
    """

    scopes: tuple[str, ...] = (CLOUD_PLATFORM,)
    lifetime: int = 3_600
    subject: str | None = None
    handed_out: bool = True


class Client:
    """
    One conversation with Google.

    :param asked: the moment before it; expiry counts from here
    :param stamp: facts about the caller, left in the audit log as the reason of a request
    """

    def __init__(
        self, *, network: Network, deadline: Deadline, asked: Instant, stamp: Mapping[str, str] | None = None
    ) -> None:
        self.network = network
        self.deadline = deadline
        self.asked = asked
        self._stamp = stamp or {}

    def send(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        codes: Codes = CODES,
        sent: Iterable[str] = (),
        metadata: bool = False,
    ) -> Answer:
        """
        Send a request and get a good answer.

        :param what: what is asked for, for messages
        :param sent: secrets in the request
        :param metadata: whether it may go to the metadata service of this host
        :raises SourceRefused: when the answer is no
        :raises SourceFailed: when there is none, or one that may pass by itself
        """
        failure: MintError | None
        try:
            answer = exchange(
                method,
                url,
                headers={"User-Agent": user_agent(self._stamp), **(headers or {})},
                body=body,
                network=self.network,
                deadline=self.deadline,
                metadata=metadata,
            )
        except MintError as error:
            failure = type(error)(f"{what}: {error.message}", code=error.code, hint=error.hint)
        else:
            failure = _fault(answer, f"{what} at {host(url)}", codes, sent)
            if failure is None:
                return answer
        raise failure

    def prove(self, credentials: Any, token_url: str, what: str, where: str, *, sent: Iterable[str] = ()) -> Answer:
        """
        Let google-auth prove who we are at a token endpoint.

        It may ask for a subject token on the way. Its work ends with the endpoint's answer, of which it sees nothing.

        :param credentials: of google-auth
        :param token_url: the endpoint
        :param where: the credentials file
        :param sent: secrets in the request's headers
        :return: what the endpoint answered
        :raises SourceUnavailable: when google-auth finds nothing that could prove us
        """
        request = _Request(self, token_url, what, tuple(sent))
        failure: MintError = unusable(where, "proves nothing")
        try:
            with silence("google"):
                credentials.refresh(request)
        except _Answered:
            pass
        except MintError as error:
            failure = error.with_traceback(None)
        except Exception as error:  # a subject token that is missing or makes no sense is raised as it comes
            failure = unusable(where, f"leads to nothing that proves who we are ({type(error).__name__})")
        if request.answer is None:
            raise failure
        return request.answer

    @property
    def reason(self) -> Mapping[str, str]:
        """The header by which Google's audit log names the caller, as far as the source's attribution goes."""
        facts = " ".join(f"{name}={_UNFIT.sub('-', value)}" for name, value in self._stamp.items())
        return {"x-goog-request-reason": f"airflow {facts}"[:REASON]} if facts else {}

    def asking(self, what: str, scopes: Iterable[str] = ()) -> Asked:
        """Say what is asked for."""
        return Asked(what=what, at=self.asked, scopes=tuple(scopes), scopes_optional=SIGN_IN)


def _fault(answer: Answer, what: str, codes: Codes, sent: Iterable[str]) -> MintError | None:
    if answer.status >= 400 or (members(answer.body) or {}).get("error"):
        return refusal(answer, what, codes, sent=sent)
    return None if answer.status == 200 else nonsense(what)


class _Answered(Exception):
    """The token endpoint has answered: the rest is ours."""


class _Response(Struct, frozen=True):
    """An answer, as google-auth reads it."""

    status: int
    headers: dict[str, str]
    data: str


class _Request:
    """A request, as google-auth makes it (``google.auth.transport.Request``)."""

    def __init__(self, client: Client, token_url: str, what: str, sent: tuple[str, ...]) -> None:
        self.answer: Answer | None = None
        self._sent = sent
        self._client = client
        self._token_url = token_url
        self._what = what

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> _Response:
        if url == self._token_url:
            form = parse_qsl((body or b"").decode())
            sent = [*self._sent, *(value for name, value in form if name in _SECRET_FIELDS)]
            headers = {**(headers or {}), **self._client.reason}
            self.answer = self._client.send(method, url, self._what, headers=headers, body=body, sent=sent)
            raise _Answered
        what, here = f"{self._what}: its subject token", not url.startswith("https:")
        answer = self._client.send(method, url, what, headers=headers, body=body, codes=Codes(), metadata=here)
        return _Response(answer.status, answer.headers, answer.body.decode())


def load(module: str) -> Any:
    """
    Import a module of google-auth.

    :raises SourceUnavailable: when it is not installed
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        pass
    raise SourceUnavailable(
        "the package google-auth is not installed on this worker",
        code="package_missing",
        hint="pip install 'airflow-ephemeral-secrets[google]'",
    )


def made(make: Callable[[], T], where: str) -> T:
    """
    Make something of google-auth's by a credentials file.

    :param where: the file
    :raises SourceUnavailable: when what it holds leads google-auth astray
    """
    try:
        with silence("google"):
            return make()
    except Exception as error:  # keys and fields of the wrong form are refused in many ways
        reason = type(error).__name__
    raise unusable(where, f"is not accepted by google-auth ({reason})")


def unusable(where: str, fault: str, hint: str | None = None) -> SourceUnavailable:
    """Say what is wrong with a credentials file."""
    return SourceUnavailable(
        f"{where} {fault}", code="credentials_unusable", hint=hint or "the file as Google wrote it"
    )


def unsuitable(who: str, what: str) -> SourceUnavailable:
    """Say that an identity cannot give what is wanted."""
    return SourceUnavailable(
        f"{who} has no {what}", code="identity_unsuitable", hint="impersonate, with a service account that has"
    )


def id_token(text: Any, audience: str, asked: Asked, principal: str = "") -> BearerToken:
    """
    Take an ID token (OpenID Connect Core, section 2).

    :param principal: who it acts as, where the token does not say
    :raises SourceRefused: when it is for another audience
    :raises SourceFailed: when it makes no sense
    """
    said = claims(checked(text, asked.what))
    if said.get("exp") is None:
        raise nonsense(asked.what)
    end = ends(said["exp"], asked, since_epoch=True)
    if said.get("aud") not in (audience, [audience]):
        raise SourceRefused(
            f"{asked.what}: the token is for another audience", code="audience_mismatch", hint="audience"
        )
    return BearerToken(token=text, expires_at=end, principal=acts_as(text) or principal)
