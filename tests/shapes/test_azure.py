"""The connections of the microsoft.azure provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes import azure, azure_sas
from airflow_ephemeral_secrets.shapes.azure import (
    Azure,
    Compute,
    ContainerInstance,
    ContainerRegistry,
    DataFactory,
    DataLake,
    Synapse,
)
from airflow_ephemeral_secrets.shapes.azure_live import NO_TENANT, AzureShape
from airflow_ephemeral_secrets.shapes.azure_sas import Adls, FileShare, ServiceBus, Wasb
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.live import ManagedIdentityFace, Route
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance, secret

APPLICATION = BasicCredential(username="a-client", password="a-secret")
SAS = BearerToken(token="sv=2024-11-04&se=2026-11-21T11%3A00%3A00Z&sig=mGvLAL2zmzVNCHhr%2BSG%3D")
BUS = BearerToken(token="SharedAccessSignature sr=acme&sig=Y2FuYXJ5LW9m%2BYnVz&se=4102444800&skn=airflow")
TOKEN = BearerToken(token="a-registry-token")
BLOBS = "https://acme.blob.core.windows.net"
FILES = "https://acme.dfs.core.windows.net"
BY_APPLICATION: dict[type[Shape], dict[str, Any]] = {
    Azure: {"subscription_id": "sub", "extra": {"cloud_environment": "AzureChinaCloud"}},
    Compute: {"subscription_id": "sub"},
    ContainerInstance: {"subscription_id": "sub"},
    DataFactory: {"subscription_id": "sub", "resource_group_name": "a_group", "factory_name": "a-factory"},
    DataLake: {"account_name": "acme"},
    Synapse: {"subscription_id": "sub", "host": "https://acme.dev.azuresynapse.net"},
}


ANOTHER_IDENTITY = (
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


class TestByApplication(ShapeConformance):
    @pytest.fixture(params=BY_APPLICATION, ids=lambda kind: kind.__name__)
    def shape(self, request: pytest.FixtureRequest) -> Shape:
        made = request.param(source="s", tenant_id="acme.onmicrosoft.com", **BY_APPLICATION[request.param])
        assert isinstance(made, Shape)
        return made


class TestStorage(ShapeConformance):
    @pytest.fixture(
        params=[
            Wasb(source="s", host=BLOBS, extra={"retry_total": 1}),
            Wasb(source="s", host=BLOBS, tenant_id="t"),
            Adls(source="s", account_url=FILES, extra={"retry_total": 1}),
            Adls(source="s", account_url=FILES, tenant_id="t"),
            FileShare(source="s", login="acme"),
        ],
        ids=["wasb", "wasb by application", "adls", "adls by application", "azure_fileshare"],
    )
    def shape(self, request: pytest.FixtureRequest) -> Shape:
        assert isinstance(request.param, Shape)
        return request.param


class TestServiceBus(ShapeConformance):
    @pytest.fixture
    def shape(self) -> ServiceBus:
        return ServiceBus(source="s", fully_qualified_namespace="acme.servicebus.windows.net")


class TestContainerRegistry(ShapeConformance):
    @pytest.fixture
    def shape(self) -> ContainerRegistry:
        return ContainerRegistry(source="s", host="acme.azurecr.io", login="00000000-0000-0000-0000-000000000000")


def rendered(shape: Shape, credential: Credential) -> dict[str, Any]:
    fields = shape.render(credential, secret).fields()
    extra = json.loads(fields.pop("extra") or "{}")
    return {**{name: value for name, value in fields.items() if value is not None}, "extra": extra}


LOGIN = {"login": "a-client", "password": "a-secret"}


@pytest.mark.parametrize(
    ("shape", "credential", "fields", "extra"),
    [
        (
            Azure(source="s", tenant_id="t", extra={"use_azure_identity_object": True}),
            APPLICATION,
            LOGIN,
            {"use_azure_identity_object": True, "tenantId": "t"},
        ),
        (
            Compute(source="s", tenant_id="t", subscription_id="sub"),
            APPLICATION,
            LOGIN,
            {"tenantId": "t", "subscriptionId": "sub"},
        ),
        (
            DataFactory(source="s", tenant_id="t", subscription_id="sub", factory_name="f", resource_group_name="g"),
            APPLICATION,
            LOGIN,
            {"tenantId": "t", "subscriptionId": "sub", "resource_group_name": "g", "factory_name": "f"},
        ),
        (
            Synapse(source="s", tenant_id="t", subscription_id="sub", host="https://acme.dev.azuresynapse.net"),
            APPLICATION,
            {**LOGIN, "host": "https://acme.dev.azuresynapse.net"},
            {"tenantId": "t", "subscriptionId": "sub"},
        ),
        (
            DataLake(source="s", tenant_id="t", account_name="acme"),
            APPLICATION,
            LOGIN,
            {"tenant": "t", "account_name": "acme"},
        ),
        (Wasb(source="s", host=BLOBS, tenant_id="t"), APPLICATION, {**LOGIN, "host": BLOBS}, {"tenant_id": "t"}),
        (Wasb(source="s", host=BLOBS), APPLICATION, {**LOGIN, "host": BLOBS}, {}),
        (Wasb(source="s", host=BLOBS), SAS, {"host": BLOBS}, {"sas_token": SAS.token}),
        (
            Adls(source="s", account_url=FILES, tenant_id="t"),
            APPLICATION,
            LOGIN,
            {"tenant_id": "t", "account_url": FILES},
        ),
        (Adls(source="s", account_url=FILES), SAS, {"password": SAS.token}, {"account_url": FILES}),
        (FileShare(source="s", login="acme"), SAS, {"login": "acme"}, {"sas_token": SAS.token}),
        (FileShare(source="s"), APPLICATION, LOGIN, {}),
        (
            ContainerRegistry(source="s", host="acme.azurecr.io", login="0-0"),
            TOKEN,
            {"host": "acme.azurecr.io", "login": "0-0", "password": "a-registry-token"},
            {},
        ),
        (
            ContainerRegistry(source="s", host="acme.azurecr.io"),
            APPLICATION,
            {"host": "acme.azurecr.io", **LOGIN},
            {},
        ),
        (
            ServiceBus(source="s", fully_qualified_namespace="acme.servicebus.windows.net"),
            BUS,
            {"schema": f"Endpoint=sb://acme.servicebus.windows.net/;SharedAccessSignature={BUS.token}"},
            {},
        ),
    ],
)
def test_fields(shape: Shape, credential: Credential, fields: dict[str, Any], extra: dict[str, Any]) -> None:
    """Each field stands where the hook looks for it; the connection holds nothing else."""
    conn_type = str(shape.__struct_config__.tag)

    assert rendered(shape, credential) == {"conn_type": conn_type, **fields, "extra": extra}


@pytest.mark.parametrize(("credential", "signature"), [(SAS, "mGvLAL2zmzVNCHhr+SG="), (BUS, "Y2FuYXJ5LW9m+YnVz")])
def test_signature_is_masked_by_itself(credential: BearerToken, signature: str) -> None:
    """Clients take a shared access signature apart: the part that is secret is masked alone, quoted or not."""
    shape = (
        ServiceBus(source="s", fully_qualified_namespace="acme")
        if credential is BUS
        else FileShare(source="s", login="acme")
    )
    secrets = shape.render(credential, secret).secrets

    assert signature in secrets
    assert signature.replace("+", "%2B").replace("=", "%3D") in secrets


def test_short_signature_is_not_masked() -> None:
    """A form that is short would blank the log."""
    made = FileShare(source="s", login="a").render(BearerToken(token="sv=2024-11-04&sig=abc"), secret)

    assert made.secrets == ("sv=2024-11-04&sig=abc", "sv%3D2024-11-04%26sig%3Dabc")


def test_tenant_goes_with_an_application() -> None:
    """With a tenant the hook logs in with a client id, which a token lacks: that is found at load."""
    assert Wasb(source="s", host=BLOBS, tenant_id="t").texts() == {"tenant_id": "{username}"}
    assert Adls(source="s", account_url=FILES).texts() == {}


@pytest.mark.parametrize(
    "shape",
    [FileShare(source="s"), ContainerRegistry(source="s", host="h"), FileShare(source="s", login="x{token}")],
)
def test_login_may_hold_placeholders(shape: FileShare | ContainerRegistry) -> None:
    """A login that the credential cannot fill is found at load."""
    assert shape.texts() == {"login": shape.login}


@pytest.mark.parametrize("key", ANOTHER_IDENTITY)
@pytest.mark.parametrize(
    "shape",
    [
        *(kind(source="s", tenant_id="t", **fields) for kind, fields in BY_APPLICATION.items()),
        Wasb(source="s", host=BLOBS),
        Adls(source="s", account_url=FILES),
    ],
    ids=lambda shape: type(shape).__name__,
)
def test_no_other_identity(shape: Any, key: str) -> None:
    """A key that the hook takes before ours, or in the place of ours, is a problem at load."""
    for name in (key, f"extra__{shape.__struct_config__.tag}__{key}"):
        (found,) = type(shape)(**{**fields_of(shape), "extra": {name: "x"}}).problems()

        assert found.startswith(f"extra.{name}: ")


@pytest.mark.parametrize(
    ("shape", "path"),
    [
        (Azure(source="s", tenant_id="t", extra={"tenantId": "u"}), "extra.tenantId"),
        (Azure(source="s", tenant_id="t", extra={"subscriptionId": "u"}), "extra.subscriptionId"),
        (
            DataFactory(source="s", tenant_id="t", subscription_id="s", extra={"factory_name": "u"}),
            "extra.factory_name",
        ),
        (DataLake(source="s", tenant_id="t", account_name="a", extra={"tenant": "u"}), "extra.tenant"),
        (Wasb(source="s", host=BLOBS, extra={"tenant_id": "u"}), "extra.tenant_id"),
        (Adls(source="s", account_url=FILES, extra={"account_url": "u"}), "extra.account_url"),
        (Wasb(source="s", host="https://a-private-endpoint-of-acme.example.com"), "host"),
    ],
)
def test_problems(shape: Shape, path: str) -> None:
    """What stands twice, and a host that the hook would cut, is a problem at load."""
    assert [problem.partition(":")[0] for problem in shape.problems()] == [path]


def fields_of(shape: Any) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in shape.__struct_fields__}


def test_every_shape_is_here() -> None:
    """No connection of the modules is without a test of its fields."""
    classes = [*vars(azure).values(), *vars(azure_sas).values()]
    named = {cls for cls in classes if isinstance(cls, type) and issubclass(cls, Shape)}
    tested = {*BY_APPLICATION, Wasb, Adls, FileShare, ServiceBus, ContainerRegistry}

    assert named - tested == {Shape, AzureShape, azure.ServicePrincipal, azure_sas.Storage}


LIVE: dict[type[AzureShape], dict[str, Any]] = {
    **{kind: fields for kind, fields in BY_APPLICATION.items() if issubclass(kind, AzureShape)},
    Wasb: {"host": BLOBS, "extra": {"retry_total": 1}},
    Adls: {"account_url": FILES, "extra": {"retry_total": 1}},
}


class TestLive(LiveShapeConformance):
    @pytest.fixture(params=LIVE, ids=lambda kind: kind.__name__)
    def shape(self, request: pytest.FixtureRequest) -> Shape:
        made = request.param(source="s", live=True, resources=["https://storage.azure.com"], **LIVE[request.param])
        assert isinstance(made, Shape)
        return made


@pytest.mark.parametrize("kind", LIVE)
@pytest.mark.parametrize("tenant_id", [None, "acme.onmicrosoft.com"])
def test_live_fields(kind: type[AzureShape], tenant_id: str | None) -> None:
    """A live form has a client id of ours and a tenant beside it, for hooks want both, and nothing to log in with."""
    shape = kind(source="s", live=True, tenant_id=tenant_id, **LIVE[kind])
    made = shape.render_live(Route("http://127.0.0.1:1/x", "a-client-id-of-ours", ("a-header",)), secret)
    extra = json.loads(made.extra or "")

    assert (made.login, made.password) == (None, None)
    assert extra.pop("managed_identity_client_id") == "a-client-id-of-ours"
    assert extra.pop("workload_identity_tenant_id") == (tenant_id or NO_TENANT)
    assert not {"tenantId", "tenant", "tenant_id", "sas_token"} & extra.keys()
    assert {"a-client-id-of-ours", "a-header"} <= set(made.secrets)
    assert shape.accepted() == (BearerToken,)


def test_live_face() -> None:
    """It asks for a managed identity for the APIs that it lists; a static one asks for none."""
    live = Azure(source="s", live=True, resources=["https://storage.azure.com"])

    assert live.face() == ManagedIdentityFace(resources=("https://storage.azure.com",))
    assert Azure(source="s", tenant_id="t").face() is None
    assert live.notes() != Azure(source="s", tenant_id="t").notes()


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (Azure(source="s"), "tenant_id: required unless live"),
        (Azure(source="s", tenant_id="t", resources=["api://x"]), "resources: goes with live: true"),
        (Wasb(source="s", host=BLOBS, resources=["api://x"]), "resources: goes with live: true"),
    ],
)
def test_live_problems(shape: Shape, problem: str) -> None:
    """What a form lacks, and what only the other one reads, is told."""
    assert shape.problems() == [problem]
