"""Secrets of Google Secret Manager, by reference."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network, SecretReference
from airflow_ephemeral_secrets.sources.files import AbsolutePath
from airflow_ephemeral_secrets.sources.google import Account
from airflow_ephemeral_secrets.sources.google_client import CODES, Client, Wanted
from airflow_ephemeral_secrets.sources.google_credentials import identity
from airflow_ephemeral_secrets.sources.google_iam import Impersonated
from airflow_ephemeral_secrets.sources.secret_refs import member
from airflow_ephemeral_secrets.sources.token_answer import members, nonsense

API = "https://secretmanager.googleapis.com/v1/"
_CODES = CODES.with_(
    {
        "PERMISSION_DENIED": "roles/secretmanager.secretAccessor on the secret for whoever reads it; the Secret "
        "Manager API enabled in the project",
        "NOT_FOUND": "the project, the secret's name and its version",
        "FAILED_PRECONDITION": "the version of the secret: it is disabled or destroyed",
        "INVALID_ARGUMENT": "the name of the secret",
    }
)


class GoogleSecretManagerReference(SecretReference, frozen=True, kw_only=True, tag="google_secret_manager"):
    """
    Read a secret from Google Secret Manager with the worker's own identity (``versions.access``).

    :param name: ``projects/PROJECT/secrets/SECRET``, and ``/versions/VERSION`` where it is not the latest
    :param json_key: the member to take where the secret is a JSON object
    :param impersonate: the service account to read it as
    :param credentials_file: as for a ``google`` source
    """

    name: Annotated[
        str,
        Meta(
            pattern=r"^projects/[a-z0-9.:-]+/secrets/[A-Za-z0-9_-]{1,255}(/versions/[A-Za-z0-9_-]{1,63})?(?!\n)$",
            description="a secret such as projects/a-project/secrets/a-secret, or a version of it (…/versions/3)",
        ),
    ]
    json_key: str | None = None
    impersonate: Account | None = None
    credentials_file: AbsolutePath | None = None

    def endpoints(self) -> list[str]:
        return [API]

    def read(self, network: Network, deadline: Deadline) -> str:
        client = Client(network=network, deadline=deadline, asked=deadline.clock.now())
        who = identity(self.credentials_file, network)
        if self.impersonate:
            who = Impersonated(who, self.impersonate)
        proof = who.access_token(client, Wanted(handed_out=False)).token
        version = self.name if "/versions/" in self.name else f"{self.name}/versions/latest"
        what = f"secret {version}"
        headers = {"Authorization": f"Bearer {proof}"}
        answer = client.send("GET", f"{API}{version}:access", what, headers=headers, codes=_CODES, sent=[proof])
        payload = (members(answer.body) or {}).get("payload")
        if not isinstance(payload, dict):
            raise nonsense(what)
        text = _decoded(payload.get("data"))
        if not text:
            raise SourceUnavailable(f"{what}: it holds no text", code="secret_missing")
        return member(text, self.json_key, what) if self.json_key else text


def _decoded(data: Any) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (TypeError, ValueError, binascii.Error):
        return ""
