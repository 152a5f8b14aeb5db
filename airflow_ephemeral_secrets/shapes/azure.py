"""The connections of the microsoft.azure provider by an application's secret or a live identity; and registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.azure_live import AzureShape
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.extra import HostName, Url, taken
from airflow_ephemeral_secrets.shapes.live import Route

Name = Annotated[str, Meta(pattern=r"^[\w.()-]{1,260}(?!\n)$", description="the name or id of a resource")]

OTHERS = (
    "account_key",
    "connection_string",
    "credential",
    "key_json",
    "key_path",
    "managed_identity_client_id",
    "sas_token",
    "shared_access_key",
    "workload_identity_tenant_id",
)


class ServicePrincipal(AzureShape, frozen=True, kw_only=True):
    """
    Hold an application's client id and secret, with which the hook asks Entra ID for tokens while the secret lives.

    :param tenant_id: the tenant of the application; without it the hook would take the worker's own identity
    :param subscription_id: the subscription to work in
    :param resource_group_name: where the operator does not name it
    :param extra: further keys of the hook
    """

    accepts = (BasicCredential,)
    cautions = ("the hook gets tokens by itself while the client secret lives",)
    keys: ClassVar[Mapping[str, str]] = {"tenant_id": "tenantId", "subscription_id": "subscriptionId"}
    """What the hook calls the fields, in its extra."""

    @property
    def conn_type(self) -> str:
        return str(self.__struct_config__.tag)

    def problems(self) -> list[str]:
        found = [*super().problems(), *taken(self.conn_type, self.extra, ours=set(self.keys.values()), others=OTHERS)]
        return found if self.live or self.tenant_id else ["tenant_id: required unless live", *found]

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BasicCredential)
        return spec(
            credential,
            conn_type=self.conn_type,
            host=getattr(self, "host", None),
            login=credential.username,
            password=credential.password,
            extra=dump({**self.extra, **self._named()}),
        )

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        fields = {key: value for key, value in self._named().items() if key != self.keys["tenant_id"]}
        return self.led(route, fields, conn_type=self.conn_type, host=getattr(self, "host", None))

    def _named(self) -> dict[str, Any]:
        return {key: value for field, key in self.keys.items() if (value := getattr(self, field)) is not None}


class Azure(ServicePrincipal, frozen=True, kw_only=True, tag="azure"):
    """
    What ``AzureBaseHook`` reads: an application's client id and secret.

    :param extra: further keys of the hook, such as ``cloud_environment`` or ``use_azure_identity_object``
    """

    subscription_id: Name | None = None


class Compute(ServicePrincipal, frozen=True, kw_only=True, tag="azure_compute"):
    """Virtual machines, by an application's client id and secret."""

    subscription_id: Name


class ContainerInstance(ServicePrincipal, frozen=True, kw_only=True, tag="azure_container_instance"):
    """Container instances, by an application's client id and secret."""

    subscription_id: Name


class DataFactory(ServicePrincipal, frozen=True, kw_only=True, tag="azure_data_factory"):
    """
    A data factory, by an application's client id and secret.

    :param factory_name: where the operator does not name it
    """

    keys = {**ServicePrincipal.keys, "resource_group_name": "resource_group_name", "factory_name": "factory_name"}

    subscription_id: Name
    resource_group_name: Name | None = None
    factory_name: Name | None = None


class Synapse(ServicePrincipal, frozen=True, kw_only=True, tag="azure_synapse"):
    """
    A Synapse workspace, by an application's client id and secret.

    :param host: the workspace's URL
    """

    host: Url
    subscription_id: Name


class DataLake(ServicePrincipal, frozen=True, kw_only=True, tag="azure_data_lake"):
    """
    A Data Lake of the first generation, by an application's client id and secret.

    :param account_name: the name of the store
    """

    keys = {"tenant_id": "tenant", "account_name": "account_name"}

    account_name: Name


class ContainerRegistry(Shape, frozen=True, kw_only=True, tag="azure_container_registry"):
    """
    A container registry, for operators that hand its login on to where containers run.

    :param host: the registry's host name
    :param login: with a token ``00000000-0000-0000-0000-000000000000``
    """

    accepts = (BearerToken, BasicCredential)
    cautions = ("operators send the login and password on to Azure, which pulls with them",)

    host: HostName
    login: Filled = "{username}"

    def texts(self) -> Mapping[str, str]:
        return {"login": self.login}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (password,) = credential.secrets()
        return spec(
            credential,
            conn_type="azure_container_registry",
            host=self.host,
            login=fill(self.login, credential),
            password=password,
        )
