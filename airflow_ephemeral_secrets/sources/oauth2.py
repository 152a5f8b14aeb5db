"""Bearer tokens of any OAuth 2.0 authorization server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.caller import Attribution, Template
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.assertion import read_key, signed
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Source
from airflow_ephemeral_secrets.sources.client_auth import NEEDS, ClientAuth, Proof, prove
from airflow_ephemeral_secrets.sources.discovery import discover, forget, well_known
from airflow_ephemeral_secrets.sources.exchange import Answer
from airflow_ephemeral_secrets.sources.grant import (
    JWT,
    PROOF,
    Grant,
    client_credentials,
    jwt_bearer,
    require_access_token,
    token_exchange,
)
from airflow_ephemeral_secrets.sources.oauth2_fields import (
    RESERVED,
    RESOURCE,
    Audience,
    ClientId,
    Parameter,
    Scope,
    TokenType,
)
from airflow_ephemeral_secrets.sources.token_answer import OAUTH, Asked, Codes, token
from airflow_ephemeral_secrets.sources.token_endpoint import post

_DPOP = "letting the server issue plain Bearer tokens to this client: DPoP off"
CODES = OAUTH.with_({"use_dpop_nonce": _DPOP, "invalid_dpop_proof": _DPOP})
HINTS: Mapping[ClientAuth, Mapping[str, str]] = {
    "private_key_jwt": {
        "invalid_client": "key_id and the public key that the server has for it, the issuer or token_url as the server "
        "writes it (it is the assertion's audience), this host's clock"
    },
    "mtls": {"invalid_client": "the certificate as the server knows it for client_id, and its mTLS token_url"},
    "basic": {"invalid_client": "client_id, client_secret (expired or rotated?), client_auth: post or basic_raw"},
}

SHOWN = 80
_EPOCH = re.compile(r"[0-9]{10}")


class OAuth2(Source, frozen=True, kw_only=True, tag="oauth2"):
    """
    Ask an OAuth 2.0 authorization server for an access token (RFC 6749, RFC 8693, RFC 7523).

    :param issuer: the server's issuer, whose metadata tell the token endpoint; or
    :param token_url: the token endpoint itself
    :param client_id: the client
    :param grant: how the token is asked for
    :param client_auth: how the client proves itself: a secret in Basic (``basic``, form-urlencoded as RFC 6749 demands,
        or ``basic_raw``, as it is) or in the body (``post``), a signed assertion (``private_key_jwt``), a certificate
        (``mtls``), or not at all
    :param client_secret: for ``basic``, ``basic_raw`` and ``post``
    :param private_key: signs the assertions of ``private_key_jwt`` and ``jwt_bearer``; PEM or JWK
    :param key_id: the key's id at the server, where that is not the JWK's own
    :param certificate: for ``mtls``: certificate and private key, in PEM or as PKCS #12 in base64
    :param scopes: what must be granted
    :param scopes_optional: those of the scopes that need not
    :param audience: whom the token is for, as RFC 8693 and Auth0 have it
    :param resource: whom the token is for, as RFC 8707 has it; one URI or several
    :param subject_token: the token that ``token_exchange`` exchanges
    :param subject_token_type: what kind of token that is
    :param assertion: the assertion that ``jwt_bearer`` presents, where it is not signed here
    :param subject: whom an assertion signed here is about; by default the client
    :param extra_params: further parameters of the request, none of them secret
    :param ttl: has no effect: OAuth has no way to ask for a lifetime, the server decides it
    """

    templates = ("scopes", "scopes_optional", "audience", "resource", "subject", "extra_params")

    attribution: Attribution = "none"
    issuer: Endpoint | None = None
    token_url: Endpoint | None = None
    client_id: ClientId
    grant: Grant = "client_credentials"
    client_auth: ClientAuth = "basic"
    client_secret: SecretName | None = None
    private_key: SecretName | None = None
    key_id: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    certificate: SecretName | None = None
    scopes: list[Scope] = []
    scopes_optional: list[Scope] = []
    audience: Audience | None = None
    resource: str | list[str] | None = None
    subject_token: SecretName | None = None
    subject_token_type: TokenType = JWT
    assertion: SecretName | None = None
    subject: Audience | None = None
    extra_params: dict[Parameter, Template] = {}

    def yields(self) -> type[Credential]:
        return BearerToken

    def endpoints(self) -> list[str]:
        return [self.token_url or well_known(self.issuer or "")[0]]

    def problems(self) -> list[str]:
        return [*self._endpoint_problems(), *self._proof_problems(), *self._grant_problems(), *self._field_problems()]

    def _endpoint_problems(self) -> Iterator[str]:
        if not self.issuer and not self.token_url:
            yield "issuer: required, or else token_url"
        if self.issuer and self.token_url:
            yield "token_url: either an issuer or a token_url"
        if self.client_auth == "mtls" and (self.token_url or "").startswith("http:"):
            yield "token_url: client_auth 'mtls' needs https"

    def _proof_problems(self) -> Iterator[str]:
        need = NEEDS.get(self.client_auth)
        used = {need, "private_key" if self._signs else None}
        for name in ("client_secret", "private_key", "certificate"):
            if name == need and not getattr(self, name):
                yield f"{name}: required by client_auth {self.client_auth!r}"
            if name not in used and getattr(self, name):
                ways = " or ".join(repr(way) for way, needed in NEEDS.items() if needed == name)
                yield f"{name}: not used by client_auth {self.client_auth!r}, but by {ways}"
        if self.key_id and not self.private_key:
            yield "key_id: goes with private_key"
        if self.client_auth == "basic_raw" and ":" in self.client_id:
            yield "client_id: holds a colon, which client_auth 'basic_raw' cannot carry"

    def _grant_problems(self) -> Iterator[str]:
        if self.grant == "token_exchange" and not self.subject_token:
            yield "subject_token: required by grant 'token_exchange'"
        if self.grant == "jwt_bearer" and not self.assertion and not self.private_key:
            yield "assertion: required by grant 'jwt_bearer', or else a private_key that signs one"
        if self.grant != "token_exchange" and (self.subject_token or self.subject_token_type != JWT):
            yield f"{'subject_token' if self.subject_token else 'subject_token_type'}: goes with grant 'token_exchange'"
        if self.grant != "jwt_bearer" and self.assertion:
            yield "assertion: goes with grant 'jwt_bearer'"
        if self.subject and not self._signs:
            yield "subject: goes with grant 'jwt_bearer' and a private_key that signs the assertion"

    def _field_problems(self) -> Iterator[str]:
        for scope in self.scopes_optional:
            if scope not in self.scopes:
                yield f"scopes_optional: {scope!r} is not among scopes"
        for resource in _several(self.resource):
            if not RESOURCE.fullmatch(resource):
                yield f"resource: expected an absolute URI without a fragment, got {resource[:SHOWN]!r}"
        for name in self.extra_params:
            if name in RESERVED:
                yield f"extra_params.{name}: is not for extra_params: it has a field of its own, or is secret"

    @property
    def _signs(self) -> bool:
        """Whether the assertion of a grant is signed here."""
        return self.grant == "jwt_bearer" and not self.assertion

    def mint(self, minting: Minting) -> Credential:
        url = self._token_endpoint(minting)
        need = NEEDS.get(self.client_auth)
        held = getattr(self, need) if need else None
        proof = prove(self.client_auth, self.client_id, held, minting, audience=url, key_id=self.key_id)
        try:
            return self._ask(url, proof, minting)
        except MintError:
            if self.issuer:
                forget(self.issuer, minting.network)
            raise

    def _token_endpoint(self, minting: Minting) -> str:
        if self.token_url:
            return self.token_url
        assert self.issuer
        found = discover(self.issuer, minting)
        return found.mtls_token_endpoint if self.client_auth == "mtls" else found.token_endpoint

    def _ask(self, url: str, proof: Proof, minting: Minting) -> BearerToken:
        facts, grant = minting.facts, self._grant_form(url, minting)
        asked = Asked(
            what=f"{self.grant} of {self.client_id} at {url}",
            at=minting.asked,
            scopes=facts["scopes"],
            scopes_optional=facts["scopes_optional"],
        )
        form = [*grant.items(), *proof.form.items(), *_wishes(facts)]
        answer = post(url, form, asked.what, minting, headers=proof.headers, certificate=proof.certificate)
        sent = (*proof.sent, *(grant[name] for name in ("subject_token", "assertion") if name in grant))
        try:
            got = token(answer, asked, principal=self.client_id, codes=self._codes, sent=sent)
        except MintError as error:
            if error.retry_after is None and answer.status == 429:
                error.retry_after = _reset(answer, minting)
            raise
        require_access_token(answer, asked.what)
        return got

    def _grant_form(self, url: str, minting: Minting) -> dict[str, str]:
        if self.grant == "client_credentials":
            return client_credentials()
        if self.subject_token:
            return token_exchange(minting.secret(self.subject_token), self.subject_token_type)
        if self.assertion:
            return jwt_bearer(minting.secret(self.assertion))
        assert self.private_key
        key = read_key(minting.secret(self.private_key), self.private_key.secret, self.key_id)
        subject = minting.facts["subject"] or self.client_id
        return jwt_bearer(signed(key, minting.asked, issuer=self.client_id, subject=subject, audience=url))

    @property
    def _codes(self) -> Codes:
        return CODES.with_(HINTS.get(self.client_auth, {}), proof=PROOF[self.grant])


def _wishes(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Write what the token shall be, as configured and no more."""
    if facts["scopes"]:
        yield "scope", " ".join(facts["scopes"])
    if facts["audience"]:
        yield "audience", facts["audience"]
    yield from (("resource", resource) for resource in _several(facts["resource"]))
    yield from facts["extra_params"].items()


def _several(resource: str | list[str] | None) -> list[str]:
    return [resource] if isinstance(resource, str) else resource or []


def _reset(answer: Answer, minting: Minting) -> float | None:
    """Read Okta's ``X-Rate-Limit-Reset``, in epoch seconds, as seconds from now."""
    value = answer.headers.get("x-rate-limit-reset", "")
    return max(0.0, float(value) - minting.asked.wall) if _EPOCH.fullmatch(value) else None
