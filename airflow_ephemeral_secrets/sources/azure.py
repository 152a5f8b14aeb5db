"""Access tokens of Entra ID, for this worker's own identity on Azure or for a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from airflow_ephemeral_secrets.caller import Attribution, stamp_id
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources import azure_identity
from airflow_ephemeral_secrets.sources.azure_identity import PUBLIC, Authority, ClientId, Identity, TenantId, Worker
from airflow_ephemeral_secrets.sources.base import Minting, Source
from airflow_ephemeral_secrets.sources.certificate import read_certificate

DEFAULT = "/.default"

_FACT = r"\{(dag_id|task_id|run_id|team)\}"
Kind = Literal["managed", "workload", "client_secret", "client_certificate", "default"]
Scope = Annotated[
    str,
    Meta(
        pattern=rf"^([A-Za-z0-9_.:/@~+=%-]|{_FACT}){{1,1024}}(?!\n)$",
        description="the scope of one API such as api://crm/.default, in which {dag_id} and the like may stand",
    ),
]
NEEDS: Mapping[Kind, tuple[str, ...]] = {
    "client_secret": ("client_id", "tenant_id", "client_secret"),
    "client_certificate": ("client_id", "tenant_id", "certificate"),
}
TAKES: Mapping[Kind, tuple[str, ...]] = {
    "managed": ("client_id",),
    "workload": ("client_id", "tenant_id", "authority"),
    "default": ("client_id", "authority"),
    **{kind: (*names, "authority") for kind, names in NEEDS.items()},
}


class Azure(Source, frozen=True, kw_only=True, tag="azure"):
    """
    Get an access token for one API from Entra ID, or from the metadata service of this host for its managed identity.

    :param identity: who asks: ``managed`` (IMDS, App Service, Arc; in a pod with workload identity that one),
        ``workload`` (AKS and other federated pods), ``client_secret`` or ``client_certificate`` (an app of its own),
        or ``default`` (the first that the worker has: a client in its environment, workload, managed)
    :param scope: the API, as its Application ID URI and ``/.default``: all that was granted to the identity there
    :param client_id: of the app, or of the user-assigned identity
    :param tenant_id: where the app is registered
    :param client_secret: proves the app
    :param certificate: proves the app: a certificate and its RSA key, in PEM or as Key Vault keeps them
    :param authority: Entra ID's host; the public cloud's for an app, else what ``AZURE_AUTHORITY_HOST`` says first
    :param ttl: has no say: Entra ID decides, 60 to 90 minutes for an app, up to a day for a managed identity
    :param attribution: how finely the correlation id in Entra ID's sign-in log names the caller: it is the ``stamp_id``
        of the audit line
    """

    templates = ("scope",)

    attribution: Attribution = "none"
    identity: Kind
    scope: Scope
    client_id: ClientId | None = None
    tenant_id: TenantId | None = None
    client_secret: SecretName | None = None
    certificate: SecretName | None = None
    authority: Authority | None = None

    def yields(self) -> type[Credential]:
        return BearerToken

    def problems(self) -> list[str]:
        found = []
        if not self.scope.endswith(DEFAULT):
            found.append(f"scope: an identity is granted nothing else, did you mean {self.scope.rstrip('/')}{DEFAULT}?")
        optional = ("client_id", "tenant_id", "client_secret", "certificate", "authority")
        given = [name for name in optional if getattr(self, name) is not None]
        needs = NEEDS.get(self.identity, ())
        found += [f"{name}: required for identity {self.identity}" for name in needs if name not in given]
        takes = TAKES[self.identity]
        found += [f"{name}: does not go with identity {self.identity}" for name in given if name not in takes]
        return found

    def ambient(self) -> Mapping[str, str]:
        return {} if self.identity in NEEDS else azure_identity.ambient()

    def endpoints(self) -> list[str]:
        if self.identity in NEEDS:
            return [self.authority or PUBLIC]
        return [self.authority] if self.authority else []

    def mint(self, minting: Minting) -> Credential:
        named = stamp_id(minting.stamp)
        worker = Worker(minting.network, minting.deadline, str(UUID(named)) if named else None)
        return self._identity(minting, worker).token(minting.facts["scope"], minting.asked)

    def _identity(self, minting: Minting, worker: Worker) -> Identity:
        if self.identity == "managed":
            return azure_identity.managed(worker, self.client_id)
        if self.identity == "workload":
            return azure_identity.workload(worker, self.client_id, self.tenant_id, self.authority)
        if self.identity == "default":
            return azure_identity.default(worker, self.client_id, self.authority)
        assert self.client_id
        assert self.tenant_id
        client = (self.client_id, self.tenant_id, self.authority or PUBLIC)
        if self.client_secret:
            return azure_identity.secret(worker, *client, minting.secret(self.client_secret))
        assert self.certificate
        given = read_certificate(minting.secret(self.certificate), self.certificate.secret)
        return azure_identity.certificate(worker, *client, given)
