"""What a client asks a token endpoint by: its own credentials, a token to exchange, or an assertion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from airflow_ephemeral_secrets.errors import SourceRefused
from airflow_ephemeral_secrets.sources.exchange import Answer
from airflow_ephemeral_secrets.sources.token_answer import members

Grant = Literal["client_credentials", "token_exchange", "jwt_bearer"]

JWT = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a type
TYPES: Mapping[Grant, str] = {
    "client_credentials": "client_credentials",
    "token_exchange": "urn:ietf:params:oauth:grant-type:token-exchange",
    "jwt_bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer",
}
PROOF: Mapping[Grant, tuple[str, ...]] = {
    "client_credentials": (),
    "token_exchange": ("invalid_grant", "invalid_request"),
    "jwt_bearer": ("invalid_grant",),
}
"""Codes that say that the token or assertion which a grant presents is wrong or has expired."""


def client_credentials() -> dict[str, str]:
    """Ask in the client's own name (RFC 6749 section 4.4)."""
    return {"grant_type": TYPES["client_credentials"]}


def token_exchange(token: str, token_type: str) -> dict[str, str]:
    """Exchange a token for an access token (RFC 8693 section 2.1)."""
    return {
        "grant_type": TYPES["token_exchange"],
        "requested_token_type": ACCESS_TOKEN,
        "subject_token": token,
        "subject_token_type": token_type,
    }


def jwt_bearer(assertion: str) -> dict[str, str]:
    """Ask by an assertion (RFC 7523 section 2.1)."""
    return {"grant_type": TYPES["jwt_bearer"], "assertion": assertion}


def require_access_token(answer: Answer, what: str) -> None:
    """
    Refuse what an exchange issued if it says that it is no access token (RFC 8693 section 2.2.1).

    :raises SourceRefused: when it says so
    """
    issued = (members(answer.body) or {}).get("issued_token_type", ACCESS_TOKEN)
    if issued != ACCESS_TOKEN:
        raise SourceRefused(
            f"{what}: what was issued is not an access token",
            code="issued_token_type",
            hint="subject_token_type and audience, as the server's rules for exchanges have them",
        )
