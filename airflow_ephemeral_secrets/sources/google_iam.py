"""
A service account impersonated, by the IAM Service Account Credentials API.

It is asked directly: google-auth sends for ID tokens through ``requests``, and names no delegates in their full form.
See https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Protocol
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.sources.google_client import TOKEN_URL, Client, Wanted, id_token
from airflow_ephemeral_secrets.sources.token_answer import checked, ends, members, nonsense, token

ACCOUNTS = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
_ASSERTED = 3_600


class Identity(Protocol):
    """Whoever Google gives tokens to."""

    def access_token(self, client: Client, wanted: Wanted) -> BearerToken:
        """Get an access token."""

    def id_token(self, client: Client, audience: str) -> BearerToken:
        """Get an ID token."""


class Impersonated(Struct, frozen=True):
    """
    A service account that another identity acts as.

    :param source: who impersonates it, or the first of ``delegates``
    :param email: the service account
    :param delegates: service accounts between the two, each of which may impersonate the next
    :param accounts: where it is asked for, up to the email
    """

    source: Identity
    email: str
    delegates: tuple[str, ...] = ()
    accounts: str = ACCOUNTS

    def access_token(self, client: Client, wanted: Wanted) -> BearerToken:
        """
        Get an access token of the service account, or of a user in whose name it acts (domain-wide delegation).

        :raises SourceRefused: when it may not be impersonated, or may not act for the user
        """
        if wanted.subject:
            return self._on_behalf(client, wanted, wanted.subject)
        asked = client.asking(f"access token of {self.email}", wanted.scopes)
        request = {"scope": list(wanted.scopes), "lifetime": f"{wanted.lifetime}s"}
        found = self._ask(client, "generateAccessToken", asked.what, request)
        minted = checked(found.get("accessToken"), asked.what)
        expiry = ends(_moment(found.get("expireTime")), asked, since_epoch=True, jwt=minted)
        return BearerToken(
            token=minted,
            expires_at=min(expiry, client.asked.wall + wanted.lifetime),
            principal=self.email,
            scope=" ".join(wanted.scopes),
        )

    def id_token(self, client: Client, audience: str) -> BearerToken:
        """
        Get an ID token of the service account.

        :raises SourceRefused: when it may not be impersonated
        """
        asked = client.asking(f"ID token of {self.email}")
        found = self._ask(client, "generateIdToken", asked.what, {"audience": audience, "includeEmail": True})
        return id_token(found.get("token"), audience, asked, self.email)

    def _on_behalf(self, client: Client, wanted: Wanted, subject: str) -> BearerToken:
        """Let the service account sign an assertion that it acts for a user, and exchange that (RFC 7523)."""
        asked = client.asking(f"access token of {subject} by {self.email}", wanted.scopes)
        now = int(client.asked.wall)
        assertion = {
            "iss": self.email,
            "sub": subject,
            "scope": " ".join(wanted.scopes),
            "aud": TOKEN_URL,
            "iat": now,
            "exp": now + _ASSERTED,
        }
        found = self._ask(client, "signJwt", f"assertion of {self.email}", {"payload": json.dumps(assertion)})
        signed = checked(found.get("signedJwt"), asked.what)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}
        headers = {"Content-Type": "application/x-www-form-urlencoded", **client.reason}
        answer = client.send(
            "POST", TOKEN_URL, asked.what, headers=headers, body=urlencode(form).encode(), sent=[signed]
        )
        return token(answer, asked, principal=subject)

    def _ask(self, client: Client, method: str, what: str, request: dict[str, Any]) -> dict[str, Any]:
        proof = self.source.access_token(client, Wanted(handed_out=False)).token
        delegates = [f"projects/-/serviceAccounts/{email}" for email in self.delegates]
        answer = client.send(
            "POST",
            f"{self.accounts}{self.email}:{method}",
            what,
            headers={"Authorization": f"Bearer {proof}", "Content-Type": "application/json", **client.reason},
            body=json.dumps({**request, "delegates": delegates}).encode(),
            sent=[proof],
        )
        found = members(answer.body)
        if found is None:
            raise nonsense(what)
        return found


def _moment(value: Any) -> float:
    """Read a moment (RFC 3339) into epoch seconds; what is none is not a number."""
    try:
        moment: datetime = msgspec.convert(value, Annotated[datetime, Meta(tz=True)])
        return moment.timestamp()
    except (msgspec.ValidationError, ValueError, OverflowError):
        return float("nan")
