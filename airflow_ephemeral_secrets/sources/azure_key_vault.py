"""Secrets that lie in Azure Key Vault."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Any, Literal

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources import azure_identity
from airflow_ephemeral_secrets.sources.azure_client import Transport, sdk
from airflow_ephemeral_secrets.sources.azure_errors import by_vault
from airflow_ephemeral_secrets.sources.azure_identity import Authority, ClientId, Identity, Worker
from airflow_ephemeral_secrets.sources.base import Network, SecretReference
from airflow_ephemeral_secrets.sources.exchange import Answer, host
from airflow_ephemeral_secrets.sources.secret_refs import member
from airflow_ephemeral_secrets.sources.token_answer import nonsense

VaultUrl = Annotated[
    str,
    Meta(
        pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?(?!\n)$",
        description="the https URL of a vault such as https://team.vault.azure.net",
    ),
]
SecretId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9-]{1,127}(?!\n)$", description="1 to 127 letters, digits and hyphens")
]
Version = Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{1,64}(?!\n)$", description="the version of a secret")]

_LOOPBACK = re.compile(r"https://(localhost|127\.[0-9.]+)(:[0-9]+)?/?")

log = logging.getLogger(__name__)


class AzureKeyVaultReference(SecretReference, frozen=True, kw_only=True, tag="azure_key_vault"):
    """
    Read a secret from Azure Key Vault with the worker's own identity; a certificate's is its PEM or PKCS #12.

    :param vault_url: such as ``https://team.vault.azure.net``
    :param name: of the secret
    :param version: the newest, if none is named
    :param json_key: the member to take where the secret is a JSON object
    :param identity: who reads it: ``managed`` (in a pod with workload identity that one), ``workload``, or ``default``
        (the first that the worker has: a client in its environment, workload, managed)
    :param client_id: of a user-assigned identity
    :param authority: Entra ID's host; else what ``AZURE_AUTHORITY_HOST`` says, else the public cloud's
    """

    vault_url: VaultUrl
    name: SecretId
    version: Version | None = None
    json_key: str | None = None
    identity: Literal["managed", "workload", "default"] = "managed"
    client_id: ClientId | None = None
    authority: Authority | None = None

    def __post_init__(self) -> None:
        if self.authority and self.identity == "managed":
            raise ValueError("authority does not go with identity managed")

    def endpoints(self) -> list[str]:
        return [self.vault_url]

    def read(self, network: Network, deadline: Deadline) -> str:
        what = f"secret {self.name} of {host(self.vault_url)}"
        client = sdk("azure.keyvault.secrets").SecretClient
        credential = _Credential(self._identity(Worker(network, deadline)), deadline)
        origin = self.vault_url.rstrip("/")
        transport = Transport(network, deadline)

        def make() -> Any:
            verified = not _LOOPBACK.fullmatch(origin)
            return client(origin, credential, verify_challenge_resource=verified, **transport.options)

        def judge(answer: Answer) -> None:
            if answer.status == 401 and not credential.given:
                raise SourceFailed(f"{what}: answered 401 without the challenge of a Key Vault", code="bad_answer")
            if answer.status >= 400:
                raise by_vault(answer, what, transport.sent)

        found = transport.run(what, make, lambda vault: vault.get_secret(self.name, self.version), judge)
        if not found.id:
            raise nonsense(what)
        ended = found.properties.expires_on
        if ended and ended.timestamp() < deadline.clock.now().wall:
            log.warning("%s: expired on %s by what the vault says of it; it is used still", what, ended.date())
        value = found.value
        if not isinstance(value, str) or not value:
            raise SourceUnavailable(f"{what}: it holds no text", code="secret_missing")
        return member(value, self.json_key, what) if self.json_key else value

    def _identity(self, worker: Worker) -> Identity:
        if self.identity == "workload":
            return azure_identity.workload(worker, self.client_id, None, self.authority)
        if self.identity == "default":
            return azure_identity.default(worker, self.client_id, self.authority)
        return azure_identity.managed(worker, self.client_id)


class _Credential:
    """What Key Vault's client asks for a token, after the vault has said for which resource."""

    def __init__(self, identity: Identity, deadline: Deadline) -> None:
        self.given = False
        self._identity = identity
        self._deadline = deadline

    def get_token(self, scope: str, **_: Any) -> Any:
        bearer = self._identity.token(scope, self._deadline.clock.now())
        self.given = True
        return sdk("azure.core.credentials").AccessToken(bearer.token, int(bearer.expires_at or 0))
