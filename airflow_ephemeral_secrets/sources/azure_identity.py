"""Who asks Entra ID for a token: the identity that Azure gave this worker, or one that the configuration names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline, Instant
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceUnavailable
from airflow_ephemeral_secrets.sources.azure_client import Transport, entra, sdk
from airflow_ephemeral_secrets.sources.azure_errors import ENTRA, by_entra, by_metadata
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.certificate import Certificate
from airflow_ephemeral_secrets.sources.exchange import Answer
from airflow_ephemeral_secrets.sources.files import read_text
from airflow_ephemeral_secrets.sources.surroundings import SURROUNDINGS
from airflow_ephemeral_secrets.sources.token_answer import Asked, nonsense, token

PUBLIC = "https://login.microsoftonline.com"
IMDS = "http://169.254.169.254"
LONGEST_TOKEN = 20_000

ClientId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._~:-]{1,128}(?!\n)$", description="the id of an app or of a managed identity")
]
TenantId = Annotated[
    str,
    Meta(
        pattern=r"^(?!(common|organizations|consumers)(?!\n)$)[A-Za-z0-9.-]{1,128}(?!\n)$",
        description="the id or the domain of one tenant",
    ),
]
Authority = Annotated[
    str,
    Meta(
        pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(?!\n)$",
        description="the https URL of a host such as https://login.microsoftonline.us",
    ),
]

AMBIENT = (
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_TOKEN_CREDENTIALS",
    "IDENTITY_ENDPOINT",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
)
"""What in the environment decides which identity this worker has."""
SECRET = ("AZURE_CLIENT_SECRET", "IDENTITY_HEADER", "MSI_SECRET")
"""What decides it by being there; its value is a secret."""

_AUTHORITY = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_POD = {"AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"}
_CLIENT = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID"}
_PROOFS = {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"}
_KINDS = ("environment", "workloadidentity", "managedidentity")


def ambient() -> Mapping[str, str]:
    """List the variables that decide which identity this worker has, as they stand; of secrets only that they do."""
    found = {name: value for name in AMBIENT if (value := SURROUNDINGS.get(name))}
    return {**found, **{name: "set" for name in SECRET if SURROUNDINGS.get(name)}}


class Worker(NamedTuple):
    """
    What a token is asked with, besides an identity.

    :param network: how providers are reached
    :param deadline: bounds all requests together
    :param request_id: what Entra ID shall call them in its log, as their correlation id
    """

    network: Network
    deadline: Deadline
    request_id: str | None = None


class Identity(NamedTuple):
    """
    One who can ask for tokens.

    :param name: for messages
    :param make: makes azure-identity's credential, which asks once
    :param transport: carries its requests
    :param explain: says what a bad answer says
    """

    name: str
    make: Callable[[], Any]
    transport: Transport
    explain: Callable[[Answer, str, tuple[str, ...]], MintError] = by_entra

    def token(self, scope: str, at: Instant) -> BearerToken:
        """
        Ask for a token; it is believed as the provider wrote it, not as the SDK read it.

        :param scope: of one resource, ending in ``/.default``
        :param at: the moment before the request
        :raises SourceUnavailable: when there is no such identity here
        :raises SourceRefused: when Entra ID says no
        :raises SourceFailed: when nobody answers in time, or not with sense
        """
        what = f"{self.name}: token for {scope}"
        asked = Asked(what=what, at=at, scopes=[scope], scopes_optional=[scope])

        def read(answer: Answer) -> BearerToken:
            if answer.status >= 400:
                raise self.explain(answer, what, self.transport.sent)
            return token(answer, asked, principal=self.name, codes=ENTRA, sent=self.transport.sent)

        found = self.transport.run(what, self.make, lambda made: made.get_token(scope), read)
        assert isinstance(self.transport.seen, Answer)
        bearer = read(self.transport.seen)
        if bearer.token != found.token:
            raise nonsense(what)
        return bearer


def managed(worker: Worker, client_id: str | None, also: Mapping[str, str] = {}) -> Identity:
    """
    Take the managed identity of this host, app or pod, as azure-identity finds it.

    :param client_id: of a user-assigned one
    :param also: what else says which one is meant, as a client of App Service calls it, such as ``mi_res_id``
    :raises SourceUnavailable: on Service Fabric, whose certificate no authority has signed
    """
    where = place()
    if also and where not in ("App Service", "IMDS"):
        raise SourceUnavailable(
            f"a managed identity of {where} cannot be asked for by {', '.join(also)}",
            code="azure_configuration",
            hint="its client id",
        )
    if where == "workload identity":
        return workload(worker, client_id, None, None)
    if where == "Service Fabric":
        raise SourceUnavailable(
            "the managed identity of Service Fabric cannot be asked: its endpoint has a certificate of its own",
            code="azure_configuration",
            hint="identity: client_certificate, or workers elsewhere on Azure",
        )
    identity = sdk("azure.identity")
    transport = Transport(*worker, metadata=True)

    def make() -> Any:
        if where in ("App Service", "IMDS"):
            return _MetadataService(transport, {**({"client_id": client_id} if client_id else {}), **also})
        return identity.ManagedIdentityCredential(client_id=client_id, **transport.options)

    return Identity(
        f"managed identity ({where})" + (f" {client_id}" if client_id else ""), make, transport, by_metadata
    )


BY_IMDS = {"mi_res_id": "msi_res_id", "principal_id": "object_id"}
"""What IMDS calls the parameters of App Service."""


class _MetadataService:
    """
    Ask App Service, or else IMDS; azure-identity reads the environment each time, in which a live connection may stand.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference and
    https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
    """

    def __init__(self, transport: Transport, named: Mapping[str, str]) -> None:
        self._transport = transport
        self._named = named

    def get_token(self, scope: str) -> Any:
        url, header = SURROUNDINGS.get("IDENTITY_ENDPOINT"), SURROUNDINGS.get("IDENTITY_HEADER")
        version, headers, named = "2019-08-01", {"Metadata": "true"}, self._named
        if url and header:
            headers["X-IDENTITY-HEADER"] = header
        else:
            version, root = "2018-02-01", SURROUNDINGS.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or IMDS
            url = f"{root.strip('/')}/metadata/identity/oauth2/token"
            named = {BY_IMDS.get(name, name): value for name, value in named.items()}
        query = {"api-version": version, "resource": scope.removesuffix("/.default"), **named}
        quoted = {name: quote(value, safe="") for name, value in query.items()}
        request = sdk("azure.core.rest").HttpRequest("GET", url, params=quoted, headers=headers)
        return sdk("azure.core.credentials").AccessToken(self._transport.send(request).json()["access_token"], 0)


def place() -> str:
    """Name what azure-identity takes this worker for, in its order."""
    has = ambient()
    if "IDENTITY_ENDPOINT" in has:
        if "IDENTITY_HEADER" in has:
            return "Service Fabric" if "IDENTITY_SERVER_THUMBPRINT" in has else "App Service"
        return "Azure Arc"
    if "MSI_ENDPOINT" in has:
        return "Azure ML" if "MSI_SECRET" in has else "Cloud Shell"
    return "workload identity" if has.keys() >= {*_POD, "AZURE_AUTHORITY_HOST"} else "IMDS"


def workload(worker: Worker, client_id: str | None, tenant_id: str | None, authority: str | None) -> Identity:
    """
    Prove this worker by the token that Kubernetes gave it (a federated credential); what is None is the pod's own.

    :raises SourceUnavailable: when the pod has none
    """
    path = _variable("AZURE_FEDERATED_TOKEN_FILE")
    tenant = tenant_id or _variable("AZURE_TENANT_ID")
    client = client_id or _variable("AZURE_CLIENT_ID")
    at = authority or _authority()
    assertion = read_text(path, LONGEST_TOKEN, "federated token file")
    kind = sdk("azure.identity").ClientAssertionCredential
    transport = Transport(*worker, own=entra(at))
    return Identity(
        f"workload identity {client}",
        lambda: kind(tenant, client, lambda: assertion, authority=at, **transport.options),
        transport,
    )


def secret(worker: Worker, client_id: str, tenant_id: str, authority: str, client_secret: str) -> Identity:
    """Prove a client by its secret."""
    kind = sdk("azure.identity").ClientSecretCredential
    return _client(kind, worker, client_id, tenant_id, authority, client_secret=client_secret)


def certificate(worker: Worker, client_id: str, tenant_id: str, authority: str, given: Certificate) -> Identity:
    """
    Prove a client by its certificate, which is sent along (``x5c``) for apps that trust its issuer and subject.

    :raises SourceUnavailable: when its key is not RSA, for azure-identity signs with nothing else
    """
    kind = sdk("azure.identity").CertificateCredential
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not isinstance(load_pem_private_key(given.pem, None), RSAPrivateKey):
        raise SourceUnavailable(
            "the key of the certificate is not an RSA key", code="certificate_unusable", hint="a certificate with RSA"
        )
    proof = {"certificate_data": given.pem, "send_certificate_chain": True}
    return _client(kind, worker, client_id, tenant_id, authority, **proof)


def _client(kind: Any, worker: Worker, client_id: str, tenant_id: str, authority: str, **proof: Any) -> Identity:
    transport = Transport(*worker, own=entra(authority))

    def make() -> Any:
        made = kind(
            tenant_id=tenant_id,
            client_id=client_id,
            authority=authority,
            disable_instance_discovery=True,
            **proof,
            **transport.options,
        )
        # there is no public way to it, and no variable of the worker's is to send what proves us to a regional host
        made._regional_authority = False
        return made

    return Identity(f"client {client_id}", make, transport)


def default(worker: Worker, client_id: str | None, authority: str | None) -> Identity:
    """
    Take the first that this worker has: a client in its environment, a workload identity, a managed identity.

    That is ``DefaultAzureCredential`` with ``AZURE_TOKEN_CREDENTIALS=prod``, or that one of the three which the
    variable names. Credentials of developers, which start other programs, are not for workers.

    :raises SourceUnavailable: when the variable names another, or the worker lacks what it names
    """
    only = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower().removesuffix("credential")
    if only not in ("", "prod", *_KINDS):
        raise SourceUnavailable(
            "AZURE_TOKEN_CREDENTIALS names a credential that is not for workers",
            code="azure_configuration",
            hint="prod, EnvironmentCredential, WorkloadIdentityCredential or ManagedIdentityCredential",
        )
    any_of = only not in _KINDS
    has = ambient().keys() | ({"AZURE_CLIENT_ID"} if client_id else set())
    if only == "environment" or (any_of and os.environ.keys() >= _CLIENT and has & _PROOFS):
        return _environment(worker, authority or _authority())
    own = client_id or os.environ.get("AZURE_CLIENT_ID")
    if only == "workloadidentity" or (any_of and has >= {*_POD, "AZURE_CLIENT_ID"}):
        return workload(worker, own, None, authority)
    return managed(worker, own)


def _environment(worker: Worker, authority: str) -> Identity:
    client, tenant = _variable("AZURE_CLIENT_ID"), _variable("AZURE_TENANT_ID")
    if client_secret := os.environ.get("AZURE_CLIENT_SECRET"):
        return secret(worker, client, tenant, authority, client_secret)
    path, password = _variable("AZURE_CLIENT_CERTIFICATE_PATH"), os.environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD")
    kind = sdk("azure.identity").CertificateCredential
    proof = {"certificate_path": path, "password": password, "send_certificate_chain": True}
    return _client(kind, worker, client, tenant, authority, **proof)


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise SourceUnavailable(
            f"{name} is not set on this worker",
            code="no_identity",
            hint="workload identity for the pod (its label and service account), or another identity",
        )
    return value


def _authority() -> str:
    """Read the authority of this worker's cloud; that of the public cloud, if none is named."""
    named = os.environ.get("AZURE_AUTHORITY_HOST") or PUBLIC
    authority = (named if "://" in named else f"https://{named}").rstrip("/")
    if not _AUTHORITY.fullmatch(authority):
        raise SourceUnavailable(
            "AZURE_AUTHORITY_HOST is not the https URL of a host", code="azure_configuration", hint=PUBLIC
        )
    return authority
