"""The desk that is a managed identity: who gets which token there, and what is in the way of it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential

from airflow_ephemeral_secrets.errors import AccessDenied, MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.live.routes import open_route
from airflow_ephemeral_secrets.shapes.azure import Azure
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec
from airflow_ephemeral_secrets.sources.surroundings import SURROUNDINGS
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource, minting
from tests.peers.azure_stubs import by_app_service, by_imds
from tests.peers.client import ask
from tests.peers.rogue import Rogue, reply
from tests.resolving import CALLER, resolver
from tests.sources.on_azure import nowhere

ARM = "https://management.azure.com"
SCOPE = f"{ARM}/.default"
NOW = 1_900_000_000.0


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A worker without an identity, whose environment is as it was in the end."""
    nowhere(monkeypatch)
    yield monkeypatch
    ENDPOINT.close()
    SURROUNDINGS.restore()


def lookup(**more: Any) -> ConnectionSpec:
    """Look up a live connection for Azure's resource manager."""
    shape = Azure(source="fake", live=True, resources=[ARM])
    more.setdefault("clock", FakeClock(wall=NOW))
    spec = resolver(shape=shape, open_route=open_route, **more).connection("api", CALLER)
    assert spec
    return spec


def client_id(spec: ConnectionSpec) -> str:
    return str(json.loads(spec.extra or "")["managed_identity_client_id"])


def get(header: str | None = None, **query: str) -> tuple[int, dict[str, Any]]:
    """Ask the desk in its protocol."""
    url = f"{os.environ['IDENTITY_ENDPOINT']}?{urlencode({'api-version': '2019-08-01', **query})}"
    proof = os.environ["IDENTITY_HEADER"] if header is None else header
    answer = ask("GET", url, headers={"X-IDENTITY-HEADER": proof})
    return answer.status, answer.json()


def test_sdk_gets_the_lease() -> None:
    """azure-identity, asynchronous too, finds the desk by the environment and gets the lease and its end."""
    name = client_id(lookup())

    async def asynchronous() -> str:
        async with AsyncManagedIdentityCredential(client_id=name) as credential:
            return (await credential.get_token(SCOPE)).token

    default = DefaultAzureCredential(managed_identity_client_id=name, workload_identity_tenant_id="a-tenant")
    assert default.get_token(SCOPE).token == asyncio.run(asynchronous()) == "fake-token-1"
    assert ManagedIdentityCredential(client_id=name).get_token(SCOPE).expires_on == pytest.approx(NOW + 840, abs=2)


def test_protocol() -> None:
    """The answer has the members of App Service, its end as text: a minute before the true one."""
    name = client_id(lookup())
    assert get(resource=ARM, client_id=name) == (
        200,
        {
            "access_token": "fake-token-1",
            "client_id": name,
            "expires_on": str(int(NOW + 840)),
            "resource": ARM,
            "token_type": "Bearer",
        },
    )


def test_end_of_a_token_that_nothing_replaces() -> None:
    """In the last minute, with a source that gives nothing, the token that still lives is given with its true end."""
    source, clock = FakeSource(), FakeClock(wall=NOW)
    name = client_id(lookup(source=source, clock=clock))
    source.raises.append(SourceFailed("down", code="http_503"))
    clock.advance(850)

    assert get(resource=ARM, client_id=name)[1]["expires_on"] == str(int(NOW + 900))


def test_connection() -> None:
    """It holds no credential, and both halves of what opens the desk are masked; the same caller gets the same one."""
    clock, source = FakeClock(wall=NOW), FakeSource()
    at = resolver(
        clock=clock, source=source, shape=Azure(source="fake", live=True, resources=[ARM]), open_route=open_route
    )
    one, again = at.connection("api", CALLER), at.connection("api", CALLER)

    assert one
    assert one == again
    assert {client_id(one), os.environ["IDENTITY_HEADER"]} <= set(one.secrets)
    assert client_id(one) != client_id(lookup())
    assert len(client_id(one)) == 32
    assert "fake-token" not in json.dumps(one.fields())


@pytest.mark.parametrize("header", ["", "x" * 43, "\u00fc"])
def test_header_is_demanded(header: str) -> None:
    """A client id is worth nothing without the header."""
    name = client_id(lookup())
    status, told = get(header.encode().decode("latin-1"), resource=ARM, client_id=name)

    assert (status, told) == (401, {"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong"})


@pytest.mark.parametrize("resource", ["https://vault.azure.net", f"{ARM}.evil.example", "", "a\nb"])
def test_resource_is_of_the_recipe(resource: str) -> None:
    """What the recipe does not name is refused, saying what to add where."""
    status, told = get(resource=resource, client_id=client_id(lookup()))
    shown = "no resource" if resource in ("", "a\nb") else resource
    assert status == 403
    assert f"is not for tokens for {shown}; try: adding it to resources of api" in told["message"]


@pytest.mark.parametrize("resource", [ARM, f"{ARM}/", f"{ARM}//"])
def test_slash_at_the_end(resource: str) -> None:
    """SDKs ask with and without a slash at the end, as the API wants its tokens."""
    assert get(resource=resource, client_id=client_id(lookup()))[0] == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [(SourceRefused("no", code="invalid_client"), 403), (SourceFailed("down", code="http_503"), 502)],
)
def test_no_token(error: MintError, status: int) -> None:
    """An error of the source is told; SDKs try again after one that may pass, and only then."""
    source, clock = FakeSource(), FakeClock(wall=NOW)
    name = client_id(lookup(source=source, clock=clock))
    clock.advance(900)
    source.raises.append(error)
    found, told = get(resource=ARM, client_id=name)

    assert (found, error.message in told["message"]) == (status, True)


def test_flushed() -> None:
    """After a lease was taken back, whoever asks gets a new token; nothing tells the desk what a service rejects."""
    at = resolver(
        clock=FakeClock(wall=NOW), shape=Azure(source="fake", live=True, resources=[ARM]), open_route=open_route
    )
    spec = at.connection("api", CALLER)
    assert spec
    before = get(resource=ARM, client_id=client_id(spec))[1]["access_token"]
    at.flush()

    assert (before, get(resource=ARM, client_id=client_id(spec))[1]["access_token"]) == ("fake-token-1", "fake-token-2")


def test_platform_keeps_its_clients(worker: pytest.MonkeyPatch) -> None:
    """On App Service, whoever names no client id of ours gets what App Service gives, which never sees our header."""
    with Rogue(reply(by_app_service("of-the-platform", int(NOW) + 3_600))) as platform:
        worker.setenv("IDENTITY_ENDPOINT", f"{platform.url}/msi/token")
        worker.setenv("IDENTITY_HEADER", "header-of-the-platform")
        lookup()
        assert ManagedIdentityCredential(client_id="another").get_token(SCOPE).token == "of-the-platform"
        assert ManagedIdentityCredential().get_token(SCOPE).token == "of-the-platform"

    named, unnamed = (parse_qs(urlsplit(request.target).query) for request in platform.requests)
    assert (named["client_id"], named["resource"], unnamed.get("client_id")) == (["another"], [ARM], None)
    assert {request.headers["X-IDENTITY-HEADER"] for request in platform.requests} == {"header-of-the-platform"}


@pytest.mark.parametrize(
    ("config", "on_app_service", "by_host"),
    [
        ({"resource_id": "/subscriptions/s/id/etl"}, {"mi_res_id": "/subscriptions/s/id/etl"}, "msi_res_id"),
        ({"object_id": "an-object"}, {"object_id": "an-object"}, "object_id"),
    ],
)
@pytest.mark.parametrize("app_service", [True, False])
def test_identity_that_is_named_otherwise(
    worker: pytest.MonkeyPatch, config: dict[str, str], on_app_service: dict[str, str], by_host: str, app_service: bool
) -> None:
    """Code of a task that names an identity of this worker by something else gets that one, and not the default."""
    answer = by_app_service("of-the-platform", int(NOW) + 3_600) if app_service else by_imds("of-the-host")
    with Rogue(reply(answer)) as platform:
        if app_service:
            worker.setenv("IDENTITY_ENDPOINT", f"{platform.url}/msi/token")
            worker.setenv("IDENTITY_HEADER", "header-of-the-platform")
        else:
            worker.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", platform.url)
        lookup()
        ManagedIdentityCredential(identity_config=config).get_token(SCOPE)

    (asked,) = (parse_qs(urlsplit(request.target).query) for request in platform.requests)
    (name, value), *_ = on_app_service.items()
    assert asked[name if app_service else by_host] == [value]
    assert "client_id" not in asked


def test_own_source_is_not_led_here(worker: pytest.MonkeyPatch) -> None:
    """A source of ours with the worker's identity asks the metadata service, and by the same lease key as before."""
    from airflow_ephemeral_secrets.sources.azure import Azure as Source

    source = Source(identity="managed", scope=SCOPE)
    with Rogue(reply(by_imds("of-the-host"))) as imds:
        worker.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.url)
        before = source.ambient()
        lookup()
        assert source.mint(minting(source)).secrets() == ("of-the-host",)
        assert source.ambient() == before

    assert "/metadata/identity/oauth2/token" in imds.requests[0].target


def test_source_follows_the_resource(worker: pytest.MonkeyPatch) -> None:
    """A source of kind azure mints for the resource asked: its own scope, and those that the recipe lists."""
    from airflow_ephemeral_secrets.sources.azure import Azure as Source

    source = Source(identity="managed", scope="https://vault.azure.net/.default")
    with Rogue(reply(by_imds("of-the-host"))) as imds:
        worker.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.url)
        name = client_id(lookup(source=source, clock=FakeClock()))
        assert [get(resource=one, client_id=name)[0] for one in (ARM, "https://vault.azure.net")] == [200, 200]

    asked = [parse_qs(urlsplit(request.target).query)["resource"] for request in imds.requests]
    assert asked == [["https://vault.azure.net"], [ARM]]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AZURE_FEDERATED_TOKEN_FILE": "/token"}, "the identity that AZURE_FEDERATED_TOKEN_FILE names"),
        ({"AZURE_CLIENT_SECRET": "x"}, "the identity that AZURE_CLIENT_SECRET names"),
        ({"AZURE_CLIENT_SECRET": "x", "AZURE_TOKEN_CREDENTIALS": "prod"}, "AZURE_CLIENT_SECRET names"),
        ({"AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}, "the identity that AZURE_TOKEN_CREDENTIALS names"),
        ({"IDENTITY_ENDPOINT": "http://localhost:40342", "IMDS_ENDPOINT": "http://localhost:40342"}, "(Azure Arc)"),
        ({"MSI_ENDPOINT": "http://localhost", "MSI_SECRET": "x"}, "(Azure ML)"),
        (
            {"IDENTITY_ENDPOINT": "http://x", "IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": "x"},
            "(Service Fabric)",
        ),
    ],
)
def test_what_is_in_the_way(worker: pytest.MonkeyPatch, variables: dict[str, str], told: str) -> None:
    """Where a hook would silently take another identity, or the worker's own would be lost, the lookup is refused."""
    for name, value in variables.items():
        worker.setenv(name, value)
    before = dict(os.environ)
    with pytest.raises(AccessDenied) as refused:
        lookup()

    assert told in str(refused.value)
    assert refused.value.code == "not_live_here"
    assert dict(os.environ) == before


def test_other_identities_stand_back(worker: pytest.MonkeyPatch) -> None:
    """With the variable that the error names, hooks come here though the pod has an identity of its own."""
    worker.setenv("AZURE_FEDERATED_TOKEN_FILE", "/token")
    worker.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    name = client_id(lookup())
    default = DefaultAzureCredential(managed_identity_client_id=name, workload_identity_tenant_id="a-tenant")

    assert default.get_token(SCOPE).token == "fake-token-1"


def test_sdk_shows_the_reason() -> None:
    """The reason of a refusal is in the error that the SDK raises."""
    credential = ManagedIdentityCredential(client_id=client_id(lookup()))
    with pytest.raises(ClientAuthenticationError, match="adding it to resources of api"):
        credential.get_token("https://vault.azure.net/.default")


def test_forked_child_has_its_environment_back(worker: pytest.MonkeyPatch) -> None:
    """A child finds the variables as the worker was given them, for the desk is its parent's; it can open its own."""
    worker.setenv("IDENTITY_HEADER", "as-it-was")
    lookup()
    here = os.environ["IDENTITY_ENDPOINT"]
    reading, writing = os.pipe()
    if not (child := os.fork()):
        seen = [os.environ.get("IDENTITY_ENDPOINT"), os.environ["IDENTITY_HEADER"]]
        name = client_id(lookup())
        seen += [os.environ["IDENTITY_ENDPOINT"], str(get(resource=ARM, client_id=name)[0])]
        os.write(writing, json.dumps(seen).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        endpoint, header, own, status = json.load(pipe)
    os.waitpid(child, 0)

    assert (endpoint, header, status) == (None, "as-it-was", "200")
    assert own != here == os.environ["IDENTITY_ENDPOINT"]
