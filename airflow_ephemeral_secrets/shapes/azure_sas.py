"""The connections of the microsoft.azure provider that a shared access signature (SAS) opens, or a live identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.azure import OTHERS
from airflow_ephemeral_secrets.shapes.azure_live import AzureShape
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.extra import HostName, Url, taken
from airflow_ephemeral_secrets.shapes.live import Route

LABEL = 24
"""The blob hook cuts the first label of a host to so many characters."""


class Storage(AzureShape, frozen=True, kw_only=True):
    """
    Hold what opens a storage account: a shared access signature, a client id and secret, or a name and key.

    :param tenant_id: the tenant of the application, for a client id and secret; without it a login and password are
        the account's name and key
    :param extra: further keys of the hook, which hands them to the client
    """

    accepts = (BearerToken, BasicCredential)
    cautions = (
        "the hook keeps its client: nothing renews a signature or an account key",
        "urllib3 logs signatures at level DEBUG, in URLs; task logs mask them",
    )

    def problems(self) -> list[str]:
        ours = ("account_url", "sas_token", "tenant_id")
        return [*super().problems(), *taken(str(self.__struct_config__.tag), self.extra, ours=ours, others=OTHERS)]

    def texts(self) -> Mapping[str, str]:
        return {"tenant_id": "{username}"} if self.tenant_id and not self.live else {}

    def _extra(self) -> dict[str, Any]:
        return {**self.extra, **({"tenant_id": self.tenant_id} if self.tenant_id else {})}


class Wasb(Storage, frozen=True, kw_only=True, tag="wasb"):
    """
    Blob storage: a token is a shared access signature (SAS).

    The hook reads it once and keeps its client. Neither a signature nor a key is renewed; tokens from a client id and
    secret are, while the secret lives.

    :param host: the account's URL
    :param extra: further keys of the hook, such as ``client_secret_auth_config``; it hands most to the client
    """

    host: Url

    def problems(self) -> list[str]:
        label = (urlsplit(self.host).hostname or "").partition(".")[0]
        cut = f"host: the hook cuts {label!r} to {LABEL} characters"
        return [*super().problems(), *([cut] if len(label) > LABEL else [])]

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        if isinstance(credential, BasicCredential):
            login, password, extra = credential.username, credential.password, self._extra()
        else:
            assert isinstance(credential, BearerToken)
            login, password, extra = None, None, {**self._extra(), "sas_token": credential.token}
        return spec(
            credential,
            secrets=_signature(credential),
            conn_type="wasb",
            host=self.host,
            login=login,
            password=password,
            extra=dump(extra),
        )

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return self.led(route, {}, conn_type="wasb", host=self.host)


class Adls(Storage, frozen=True, kw_only=True, tag="adls"):
    """
    Data Lake Storage of the second generation: a token is a shared access signature (SAS).

    The hook reads it once and keeps its client. It logs the account's URL.

    :param account_url: the account's URL
    """

    account_url: Url

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (password,) = credential.secrets()
        return spec(
            credential,
            secrets=_signature(credential),
            conn_type="adls",
            login=credential.username if isinstance(credential, BasicCredential) else None,
            password=password,
            extra=dump({**self._extra(), "account_url": self.account_url}),
        )

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return self.led(route, {"account_url": self.account_url}, conn_type="adls")


class FileShare(Shape, frozen=True, kw_only=True, tag="azure_fileshare"):
    """
    File shares: a token is a shared access signature (SAS), a login and password are the account's name and key.

    The hook reads it again for each client.

    :param login: the account's name or URL
    """

    accepts = (BearerToken, BasicCredential)
    why_static = "its hook reads the connection anew for each thing that it does"
    cautions = (
        "the hook reads the connection anew for each thing that it does",
        "urllib3 logs signatures at level DEBUG, in URLs; task logs mask them",
    )

    login: Filled = "{username}"

    def texts(self) -> Mapping[str, str]:
        return {"login": self.login}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (opens,) = credential.secrets()
        token = isinstance(credential, BearerToken)
        return spec(
            credential,
            secrets=_signature(credential),
            conn_type="azure_fileshare",
            login=fill(self.login, credential),
            password=None if token else opens,
            extra=dump({"sas_token": opens} if token else {}),
        )


class ServiceBus(Shape, frozen=True, kw_only=True, tag="azure_service_bus"):
    """
    Service Bus: a token is a shared access signature, ``SharedAccessSignature sr=…&sig=…&se=…&skn=…``.

    The hook reads it again for each client.

    :param fully_qualified_namespace: the host name of the namespace
    """

    accepts = (BearerToken,)
    why_static = "its hook reads the connection anew for each thing that it does"
    cautions = ("the hook reads the connection anew for each client; none of them renews the signature",)

    fully_qualified_namespace: HostName

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        return spec(
            credential,
            secrets=_signature(credential),
            conn_type="azure_service_bus",
            schema=f"Endpoint=sb://{self.fully_qualified_namespace}/;SharedAccessSignature={credential.token}",
        )


def _signature(credential: Credential) -> tuple[str, ...]:
    """List the signature in a shared access signature, as it stands in a URL and as it is."""
    if not isinstance(credential, BearerToken):
        return ()
    query = credential.token.rpartition(" ")[2].lstrip("?")
    return tuple(signature for signature in parse_qs(query).get("sig", ()) if len(signature) > len("sig=") * 2)
