"""Tokens of Entra ID, for each identity that a worker on Azure or a client may have."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import jwt as pyjwt
import msal.managed_identity
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import NoEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import load_pem_x509_certificates

from airflow_ephemeral_secrets.caller import Attribution, Caller, stamp_id
from airflow_ephemeral_secrets.clock import Deadline, Instant, SystemClock
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import lease_key
from airflow_ephemeral_secrets.reading import Problems, SecretName, struct
from airflow_ephemeral_secrets.sources import azure_identity
from airflow_ephemeral_secrets.sources.azure import Azure
from airflow_ephemeral_secrets.sources.azure_identity import PUBLIC, Worker
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.secret_refs import FileReference
from tests.peers.azure_stubs import (
    CANARY,
    REQUEST_ID,
    TOKEN,
    arc,
    by_app_service,
    by_imds,
    by_turns,
    discovery,
    granted,
    jwt,
    refused,
    tell,
)
from tests.peers.oidc_provider import OidcProvider, public_jwks
from tests.peers.rogue import Peer, Rogue, Script, close, deaf, hang, reply, response, tunnel
from tests.peers.tls import serving
from tests.peers.wiremock import GONE, GRANTED, NOT_FOUND, THROTTLED, UNAVAILABLE, WireMock, imds
from tests.resolving import CALLER, resolver
from tests.sources.asking import SECONDS, ask, failure, given, story
from tests.sources.bad_files import CANARY as IN_FILE
from tests.sources.bad_files import FAULTS
from tests.sources.conformance import Reader, SourceConformance
from tests.sources.on_azure import SCOPE, nowhere, trusting

TENANT = "b7e1c0de-0000-4000-8000-00000000abcd"
SECRET = "canary~secret+of:a/client"
HEADER = "canary-of-an-identity-header"
ASSERTION = jwt(sub="a-pod", aud="api://AzureADTokenExchange") + "-canary"
CLIENT_SECRET = SecretName("a-secret")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A worker without an identity."""
    nowhere(monkeypatch)
    return monkeypatch


def managed(**fields: Any) -> Azure:
    return Azure(identity="managed", scope=SCOPE, **fields)


def client(authority: str = PUBLIC, client_id: str = "a-client", **fields: Any) -> Azure:
    """Configure a client with a secret."""
    whole = {"identity": "client_secret", "client_secret": CLIENT_SECRET, "scope": SCOPE, "tenant_id": TENANT}
    return Azure(**{**whole, "authority": authority, "client_id": client_id, **fields})


def on_vm(patch: pytest.MonkeyPatch, url: str) -> None:
    patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)


def in_app(patch: pytest.MonkeyPatch, url: str) -> None:
    patch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
    patch.setenv("IDENTITY_HEADER", HEADER)


def on_arc(patch: pytest.MonkeyPatch, url: str, folder: Path) -> None:
    patch.setenv("IDENTITY_ENDPOINT", f"{url}/metadata/identity/oauth2/token")
    patch.setenv("IMDS_ENDPOINT", url)
    patch.setitem(msal.managed_identity._supported_arc_platforms_and_their_prefixes, sys.platform, str(folder))


def in_pod(patch: pytest.MonkeyPatch, url: str, folder: Path, assertion: str = ASSERTION) -> Path:
    path = folder / "azure-identity-token"
    path.write_text(f"{assertion}\n")
    patch.setenv("AZURE_AUTHORITY_HOST", f"{url}/")
    patch.setenv("AZURE_TENANT_ID", TENANT)
    patch.setenv("AZURE_CLIENT_ID", "a-pod")
    patch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    return path


# Conformance


class TestStubOfImds(SourceConformance):
    @pytest.fixture
    def server(self, nobody: pytest.MonkeyPatch) -> Iterator[Rogue]:
        with Rogue(reply(by_imds())) as server:
            on_vm(nobody, server.url)
            yield server

    @pytest.fixture
    def source(self, server: Rogue) -> Azure:
        return managed()

    @pytest.fixture
    def asked(self, server: Rogue) -> Callable[[], int]:
        return lambda: len(server.requests)


class TestStubOfImdsForUserAssigned(TestStubOfImds):
    @pytest.fixture
    def source(self, server: Rogue) -> Azure:
        return managed(client_id="an-identity")


class TestStubOfImdsByDefault(TestStubOfImds):
    @pytest.fixture
    def source(self, server: Rogue) -> Azure:
        return Azure(identity="default", scope=SCOPE)


class TestStubOfAppService(TestStubOfImds):
    @pytest.fixture
    def server(self, nobody: pytest.MonkeyPatch) -> Iterator[Rogue]:
        with Rogue(reply(by_app_service(expires_on=int(time.time()) + 86_400))) as server:
            in_app(nobody, server.url)
            yield server


class TestStubOfArc(TestStubOfImds):
    @pytest.fixture
    def server(self, nobody: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rogue]:
        with Rogue(arc(tmp_path, "canary-of-a-key")) as server:
            on_arc(nobody, server.url, tmp_path)
            yield server

    @pytest.fixture
    def asked(self, server: Rogue) -> Callable[[], int]:
        return lambda: sum("Authorization" in request.headers for request in server.requests)


class TestStubOfEntraForWorkload(TestStubOfImds):
    @pytest.fixture
    def server(
        self, nobody: pytest.MonkeyPatch, tmp_path: Path, authority: trustme.CA, ca_file: str
    ) -> Iterator[Rogue]:
        trusting(nobody, ca_file)
        with Rogue(reply(granted()), tls=serving(authority)) as server:
            in_pod(nobody, server.url, tmp_path)
            yield server

    @pytest.fixture
    def source(self, server: Rogue) -> Azure:
        return Azure(identity="workload", scope=SCOPE)


class TestClientSecret(SourceConformance):
    """Against the certified provider, which stands in for Entra ID."""

    @pytest.fixture
    def source(self, oidc: OidcProvider, nobody: pytest.MonkeyPatch) -> Azure:
        trusting(nobody, oidc.ca_file)
        oidc.resource("api://crm", scopes=["read"])
        name = f"azure-secret-{uuid4()}"
        oidc.client(name, client_secret=SECRET, token_endpoint_auth_method="client_secret_post")
        return client(oidc.https, name)

    @pytest.fixture
    def secret(self) -> Reader:
        return lambda name: {"a-secret": SECRET}[name.secret]

    @pytest.fixture
    def asked(self, source: Azure, oidc: OidcProvider) -> Callable[[], int]:
        return lambda: len(oidc.requests_of(str(source.client_id)))


@pytest.fixture(scope="module")
def pem(authority: trustme.CA) -> str:
    """A certificate and its key, as Key Vault keeps them: the key stands first."""
    issued = authority.issue_cert("airflow.example.com", key_type=trustme.KeyType.RSA)
    return issued.private_key_and_cert_chain_pem.bytes().decode()


def certificate_first(pem: str) -> str:
    """Write the certificate before the key."""
    key, _, rest = pem.partition("-----BEGIN CERTIFICATE-----")
    return f"-----BEGIN CERTIFICATE-----{rest}{key}"


def pkcs12(pem: str) -> str:
    """Write it as PKCS #12 in base64, as Key Vault does by default."""
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    whole = load_pem_x509_certificates(pem.encode())
    return b64encode(serialize_key_and_certificates(b"a", key, whole[0], whole[1:], NoEncryption())).decode()


class TestClientCertificate(TestClientSecret):
    @pytest.fixture(params=[str, certificate_first, pkcs12], ids=lambda form: form.__name__)
    def form(self, request: pytest.FixtureRequest) -> Callable[[str], str]:
        made: Callable[[str], str] = request.param
        return made

    @pytest.fixture
    def source(self, oidc: OidcProvider, nobody: pytest.MonkeyPatch, pem: str) -> Azure:
        trusting(nobody, oidc.ca_file)
        oidc.resource("api://crm", scopes=["read"])
        name = f"azure-certificate-{uuid4()}"
        oidc.client(name, jwks=public_jwks(load_pem_private_key(pem.encode(), None)))
        fields = {"identity": "client_certificate", "client_secret": None, "certificate": SecretName("a-pem")}
        return client(oidc.https, name, **fields)

    @pytest.fixture
    def secret(self, pem: str, form: Callable[[str], str]) -> Reader:
        return lambda name: {"a-pem": form(pem)}[name.secret]


# What is asked, and what comes of it


@pytest.mark.parametrize("source", [client(), managed()], ids=lambda source: source.identity)
def test_is_asked_for_one_api(nobody: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str, source: Azure) -> None:
    """A client asks for the scope, a managed identity for its resource; the answer's request id and scope are kept."""
    scripts = (
        [reply(by_imds())]
        if source.identity == "managed"
        else [discovery, reply(granted(), X_Ms_Request_Id=REQUEST_ID)]
    )
    tls = None if source.identity == "managed" else serving(authority)
    with Rogue(*scripts, tls=tls) as server:
        on_vm(nobody, server.url)
        here = managed() if source.identity == "managed" else client(server.url)
        credential = ask(here, network=Network(ca_file=ca_file), secret=lambda _: SECRET).credential

    last = server.requests[-1]
    sent_by_us = last.headers["x-ms-client-request-id"]
    assert credential.scope == SCOPE
    if source.identity == "managed":
        assert parse_qs(urlsplit(last.target).query)["resource"] == ["api://crm"]
        assert credential.request_id == sent_by_us
    else:
        assert last.form["scope"] == SCOPE
        assert credential.request_id == REQUEST_ID


@pytest.mark.parametrize("attribution", get_args(Attribution))
def test_correlation_id_names_the_caller(
    nobody: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str, attribution: Attribution
) -> None:
    """The correlation id in Entra ID's log is what an audit line calls stamp_id; nobody's is drawn anew each time."""
    caller = Caller(process="task", dag_id="d", run_id="r", task_id="t")
    with Rogue(discovery, reply(granted()), discovery, reply(granted()), tls=serving(authority)) as server:
        for _ in range(2):
            ask(
                client(server.url, attribution=attribution),
                network=Network(ca_file=ca_file),
                secret=lambda _: SECRET,
                caller=caller,
            )

    asked = [request for request in server.requests if request.method == "POST"]
    sent = {request.headers[name] for request in asked for name in ("client-request-id", "x-ms-client-request-id")}
    named = stamp_id(caller.stamp(attribution))
    assert (sent == {str(UUID(named))}) if named else len(sent) > 1


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("api://{dag_id}/.default", "api://a_dag"),
        ("api://c++/{run_id}/.default", "api://c++/scheduled__2026-01-01T00:00:00+00:00"),
        ("api://a%26client_id=other/.default", "api://a%26client_id=other"),
    ],
)
def test_scope_is_a_template(nobody: pytest.MonkeyPatch, scope: str, resource: str) -> None:
    """Each Dag can have an API of its own, and each run; whatever stands in it, no more than it is asked for."""
    caller = Caller(process="task", dag_id="a_dag", run_id="scheduled__2026-01-01T00:00:00+00:00", task_id="t")
    with Rogue(reply(by_imds())) as server:
        on_vm(nobody, server.url)
        ask(Azure(identity="managed", scope=scope), caller=caller)

    query = parse_qs(urlsplit(server.requests[0].target).query)
    assert (query["resource"], query.get("client_id")) == ([resource], None)


def test_certified_provider_names_the_client(oidc: OidcProvider, nobody: pytest.MonkeyPatch) -> None:
    """What the provider signed for the API is what comes back, whose principal and end it says itself."""
    oidc.resource("api://crm", scopes=["read"], ttl=90)
    name = f"azure-named-{uuid4()}"
    oidc.client(name, client_secret=SECRET, token_endpoint_auth_method="client_secret_post")
    minting = given(source := client(oidc.https, name), network=Network(ca_file=oidc.ca_file), secret=lambda _: SECRET)

    credential = source.mint(minting)

    claims = oidc.verified(credential.secrets()[0], "api://crm")
    assert credential.principal == claims["client_id"] == name
    assert credential.expires_at == pytest.approx(claims["exp"], abs=1)
    assert credential.expires_at <= minting.asked.wall + 90


def test_certified_provider_takes_a_federated_token(
    oidc: OidcProvider, nobody: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pod's token proves it, and is read anew for each mint: the projected file is replaced as it ages."""
    key = rsa.generate_private_key(65_537, 2_048)
    name = f"azure-pod-{uuid4()}"
    oidc.resource("api://crm", scopes=["read"])
    oidc.client(name, jwks=public_jwks(key))
    source = Azure(identity="workload", scope=SCOPE, client_id=name)
    for _ in range(2):
        claims = {"iss": name, "sub": name, "aud": oidc.https, "jti": str(uuid4()), "exp": time.time() + 60}
        in_pod(nobody, oidc.https, tmp_path, pyjwt.encode(claims, key, "RS256"))
        assert ask(source, network=Network(ca_file=oidc.ca_file)).credential.principal == name

    replayed = failure(source, network=Network(ca_file=oidc.ca_file))
    assert (type(replayed), replayed.code, replayed.proof_rejected) == (SourceRefused, "invalid_client", True)


def test_certified_provider_refuses_a_wrong_secret(oidc: OidcProvider, nobody: pytest.MonkeyPatch) -> None:
    """A wrong secret is refused by the provider's code, and may have been rotated meanwhile."""
    name = f"azure-wrong-{uuid4()}"
    oidc.client(name, client_secret=SECRET, token_endpoint_auth_method="client_secret_post")
    wrong = f"{SECRET}-but-wrong"

    error = failure(client(oidc.https, name), network=Network(ca_file=oidc.ca_file), secret=lambda _: wrong)

    assert (type(error), error.code, error.proof_rejected) == (SourceRefused, "invalid_client", True)
    assert wrong not in story(error)
    assert "the client secret or certificate" in str(error)


# Managed identities


@pytest.mark.parametrize(
    ("answers", "kind", "code", "hint", "retry_after"),
    [
        ([NOT_FOUND, GRANTED], SourceUnavailable, "invalid_request", "client_id if it is user-assigned", None),
        ([THROTTLED, GRANTED], SourceFailed, "HTTP 429", None, 1.0),
        ([GONE, GRANTED], SourceFailed, "gone", "being updated", None),
        ([UNAVAILABLE, GRANTED], SourceFailed, "service_unavailable", None, None),
    ],
    ids=["no such identity", "throttled", "gone", "unavailable"],
)
def test_wiremock_as_imds(
    wiremock: WireMock,
    nobody: pytest.MonkeyPatch,
    answers: list[Any],
    kind: type[MintError],
    code: str,
    hint: str | None,
    retry_after: float | None,
) -> None:
    """The SDK confounds a missing identity with throttling: ours tells them apart, asks once, and remembers neither."""
    wiremock.script(imds(*answers))
    on_vm(nobody, wiremock.url)

    error = failure(managed())

    assert (type(error), error.code, error.retry_after) == (kind, code, retry_after)
    assert hint is None or hint in str(error)
    assert "managed identity (IMDS): token for api://crm/.default" in str(error)
    assert len(wiremock.requests) == 1
    assert ask(managed()).credential.secrets() == ("minted.by.imds",)


def test_wiremock_as_imds_of_a_user_assigned_identity(wiremock: WireMock, nobody: pytest.MonkeyPatch) -> None:
    """The identity that is named is the one that is asked for."""
    wiremock.script(imds(GRANTED, query={"client_id": {"equalTo": "an-identity"}}))
    on_vm(nobody, wiremock.url)

    assert ask(managed(client_id="an-identity")).credential.secrets() == ("minted.by.imds",)
    assert failure(managed()).code == "HTTP 404"


@contextmanager
def refusing() -> Iterator[str]:
    """Give an address where nobody listens."""
    with Rogue(reply()) as server:
        pass
    yield server.url


@contextmanager
def black_hole() -> Iterator[str]:
    """Give an address from which nothing ever comes back: who listens there takes no more connections."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("place", [refusing, black_hole])
def test_no_metadata_service(nobody: pytest.MonkeyPatch, place: Callable[[], AbstractContextManager[str]]) -> None:
    """Without a metadata service this worker has no managed identity, and nobody was asked."""
    nobody.setattr("airflow_ephemeral_secrets.sources.exchange.CONNECT", 1.0)
    with place() as url:
        on_vm(nobody, url)
        error = failure(managed())

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")
    assert "this worker has no managed identity" in str(error)
    assert "another identity for the source" in str(error)


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        pytest.param(deaf, SourceFailed, "timeout", id="deaf"),
        pytest.param(hang(), SourceFailed, "timeout", id="hangs"),
        pytest.param(close, SourceFailed, "unreachable", id="closes"),
        pytest.param(reply(by_imds(), length=1_000), SourceFailed, "unreachable", id="breaks off"),
        pytest.param(reply(b"<html>", status=403), SourceFailed, "HTTP 403", id="other cloud"),
        pytest.param(reply(b"", status=401), SourceRefused, "HTTP 401", id="other cloud, 401"),
        pytest.param(reply(b"<html>"), SourceFailed, "bad_answer", id="page"),
        pytest.param(reply(by_imds(expires_in="soon")), SourceFailed, "bad_lifetime", id="no lifetime"),
        pytest.param(reply(by_imds(expires_in="-1")), SourceFailed, "bad_lifetime", id="dead"),
        pytest.param(reply(by_imds(token="two words")), SourceFailed, "bad_answer", id="no token"),
        pytest.param(reply(by_imds(token_type="pop")), SourceRefused, "token_type", id="not a bearer"),
        pytest.param(reply(by_imds(), status=302, Location="/"), SourceFailed, "redirect", id="redirect"),
        pytest.param(reply(b'{"error":"invalid_client"}'), SourceRefused, "invalid_client", id="no in a yes"),
        pytest.param(reply(by_imds(), status=400), SourceRefused, "HTTP 400", id="yes in a no"),
        pytest.param(
            reply(b'{"error":"invalid_resource","error_description":"AADSTS50001: x"}', status=400),
            SourceRefused,
            "AADSTS50001",
            id="unknown API",
        ),
    ],
)
def test_bad_metadata_service(nobody: pytest.MonkeyPatch, script: Script, kind: type[MintError], code: str) -> None:
    """Whatever answers instead of the metadata service is told apart, in time."""
    with Rogue(script) as server:
        on_vm(nobody, server.url)
        error = failure(managed(), seconds=0.5 if code == "timeout" else SECONDS)

    assert (type(error), error.code) == (kind, code)
    assert server.connections == 1


def test_stub_of_app_service_says_until_when(nobody: pytest.MonkeyPatch) -> None:
    """App Service says only until when a token lives, and as text; it is asked with its own secret header."""
    end = int(time.time()) + 4_000
    with Rogue(reply(by_app_service(expires_on=end))) as server:
        in_app(nobody, server.url)
        source = managed()
        credential = source.mint(given(source))

    assert credential.expires_at == pytest.approx(end, abs=0.01)
    assert server.requests[0].headers["X-IDENTITY-HEADER"] == HEADER


@pytest.mark.parametrize(
    ("body", "status", "kind", "code"),
    [
        (b'{"statusCode":400,"message":"No User Assigned Identity"}', 400, SourceUnavailable, "HTTP 400"),
        (b'{"statusCode":500,"message":"x"}', 500, SourceFailed, "HTTP 500"),
        (f'{{"error":"{HEADER}"}}'.encode(), 403, SourceRefused, "HTTP 403"),
    ],
    ids=["no such identity", "unknown API", "echo"],
)
def test_stub_of_app_service_says_no(
    nobody: pytest.MonkeyPatch, body: bytes, status: int, kind: type[MintError], code: str
) -> None:
    """App Service has errors of its own form; none repeats the secret header."""
    with Rogue(reply(body, status=status)) as server:
        in_app(nobody, server.url)
        error = failure(managed(client_id="other"))

    assert (type(error), error.code) == (kind, code)
    assert HEADER not in story(error)


@pytest.mark.parametrize("client_id", [None, "an-identity"])
def test_stub_of_arc(nobody: pytest.MonkeyPatch, tmp_path: Path, client_id: str | None) -> None:
    """On Arc the worker proves that it can read the agent's key."""
    with Rogue(arc(tmp_path, "canary-of-a-key")) as server:
        on_arc(nobody, server.url, tmp_path)
        assert ask(managed(client_id=client_id)).credential.secrets() == (TOKEN,)


def test_stub_of_arc_names_another_file(nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever pretends to be the agent is not sent a file from elsewhere."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "other.key").write_text(IN_FILE)
    with Rogue(arc(tmp_path / "agent", "a-key", named=str(tmp_path / "other.key"))) as server:
        on_arc(nobody, server.url, tmp_path / "agent")
        error = failure(managed())

    assert (type(error), error.code) == (SourceRefused, "HTTP 401")
    assert "the group himds" in str(error)
    assert not [request for request in server.requests if IN_FILE in request.everything]
    assert IN_FILE not in story(error)


def test_stub_of_arc_without_user_assigned_identities(nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An old agent, which gives out the machine's own identity instead of the one asked for, is not believed."""
    key = tmp_path / "a.key"
    key.write_text("a-key")
    scripts = reply(b"", status=401, WWW_Authenticate=f"Basic realm={key}"), reply(by_imds(client_id="the-machine"))
    with Rogue(*scripts) as server:
        on_arc(nobody, server.url, tmp_path)
        error = failure(managed(client_id="an-identity"))

    assert (type(error), error.code) == (SourceFailed, "bad_answer")


def test_service_fabric_is_refused(nobody: pytest.MonkeyPatch) -> None:
    """Where the SDK would leave our transport, nobody is asked."""
    with Rogue(reply(by_app_service())) as server:
        in_app(nobody, server.url)
        nobody.setenv("IDENTITY_SERVER_THUMBPRINT", "00" * 20)
        error = failure(managed())

    assert (type(error), error.code, server.connections) == (SourceUnavailable, "azure_configuration", 0)
    assert "the managed identity of Service Fabric cannot be asked" in str(error)


def test_no_proxy_to_the_metadata_service(nobody: pytest.MonkeyPatch, ca_file: str, authority: trustme.CA) -> None:
    """The metadata service is on this host: no proxy is between; Entra ID is behind the one that is configured."""
    with Rogue(close) as broken, Rogue(reply(by_imds())) as server:
        on_vm(nobody, server.url)
        nobody.setenv("HTTP_PROXY", broken.url)
        ask(managed(), network=Network(proxy=broken.url))
    with Rogue(tunnel) as proxy, Rogue(discovery, reply(granted()), tls=serving(authority)) as server:
        ask(client(server.url), network=Network(proxy=proxy.url, ca_file=ca_file), secret=lambda _: SECRET)

    assert broken.connections == 0
    assert proxy.connections == 2


# Entra ID


PROOF = ("AADSTS7000215", "AADSTS7000222", "AADSTS700024", "AADSTS700027")
LATER_CODES = ("AADSTS90033", "AADSTS90055", "AADSTS50196")
REFUSED = (
    *PROOF,
    "AADSTS700016",
    "AADSTS90002",
    "AADSTS500011",
    "AADSTS70011",
    "AADSTS70021",
    "AADSTS700211",
    "AADSTS700212",
    "AADSTS700213",
    "AADSTS53003",
    "AADSTS50034",
    "AADSTS1002012",
)


def of_entra(script: Script, authority: trustme.CA, ca_file: str, **facts: Any) -> tuple[MintError, Rogue]:
    """Ask an Entra ID that answers this to a client with a secret."""
    with Rogue(discovery, script, tls=serving(authority)) as server:
        network = Network(ca_file=ca_file)
        return failure(client(server.url), network=network, secret=lambda _: SECRET, **facts), server


@pytest.mark.parametrize("code", [*REFUSED, *LATER_CODES])
def test_stub_of_entra_says_why(authority: trustme.CA, ca_file: str, code: str) -> None:
    """The commonest codes of Entra ID have a hint; those of a wrong proof say so, those that pass are failures."""
    error, _ = of_entra(reply(refused(code), status=400, X_Ms_Request_Id=REQUEST_ID), authority, ca_file)

    assert type(error) is (SourceFailed if code in LATER_CODES else SourceRefused)
    assert (error.code, error.request_id, error.proof_rejected) == (code, REQUEST_ID, code in PROOF)
    assert error.hint
    assert "client a-client: token for api://crm/.default" in str(error)
    assert CANARY not in story(error)
    assert SECRET not in story(error)


def test_stub_of_entra_without_the_tenant(authority: trustme.CA, ca_file: str) -> None:
    """An unknown tenant is told at once, before the secret leaves."""
    with Rogue(reply(refused("AADSTS90002", "invalid_tenant"), status=400), tls=serving(authority)) as server:
        error = failure(client(server.url), network=Network(ca_file=ca_file), secret=lambda _: SECRET)

    assert (type(error), error.code) == (SourceRefused, "AADSTS90002")
    assert not [request for request in server.requests if SECRET in request.form.values()]


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        pytest.param(reply(b"<html>", status=502), SourceFailed, "HTTP 502", id="502"),
        pytest.param(reply(b"{}", status=429, Retry_After="7"), SourceFailed, "HTTP 429", id="429"),
        pytest.param(reply(b"<html>", status=200), SourceFailed, "bad_answer", id="page"),
        pytest.param(deaf, SourceFailed, "timeout", id="deaf"),
        pytest.param(close, SourceFailed, "unreachable", id="closes"),
        pytest.param(reply(granted(expires_in=0)), SourceFailed, "bad_lifetime", id="dead"),
        pytest.param(reply(b"x" * 70_000), SourceFailed, "too_large", id="too large"),
        pytest.param(reply(b"[" * 60_000), SourceFailed, "bad_answer", id="deep"),
    ],
)
def test_stub_of_entra_fails(
    authority: trustme.CA, ca_file: str, script: Script, kind: type[MintError], code: str
) -> None:
    """Entra ID that fails is asked once, and told as what it did."""
    error, server = of_entra(script, authority, ca_file, seconds=1.0 if script is deaf else SECONDS)

    assert (type(error), error.code) == (kind, code)
    assert error.retry_after == (7.0 if code == "HTTP 429" else None)
    assert server.connections == 2


def test_rotated_secret_is_read_anew(
    nobody: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    """A secret that has expired is read once more where it lies, and the new one proves the client."""
    trusting(nobody, ca_file)
    path = tmp_path / "secret"
    path.write_text("an-old-secret")

    def rotating(peer: Peer) -> None:
        if peer.read().form["client_secret"] == "an-old-secret":
            path.write_text("a-new-secret")
            peer.send(response(refused("AADSTS7000222"), status=401))
        else:
            peer.send(response(granted()))

    with Rogue(by_turns(discovery, rotating), tls=serving(authority)) as server:
        references = {"a-secret": FileReference(path=str(path))}
        found = resolver(source=client(server.url), references=references).connection("api", CALLER)

    assert found
    assert f"Bearer {TOKEN}" in str(found.extra)
    assert [request.form["client_secret"] for request in server.requests[1::2]] == ["an-old-secret", "a-new-secret"]


def test_secret_goes_to_the_authority_alone(authority: trustme.CA, ca_file: str) -> None:
    """A token endpoint on another host than the authority's gets nothing, unless the configuration lists it."""
    tls = serving(authority)
    with Rogue(reply(granted()), tls=tls) as other, Rogue(tell(lambda _: other.url), tls=tls) as server:
        network = Network(ca_file=ca_file)
        error = failure(client(server.url), network=network, secret=lambda _: SECRET)
        assert (type(error), error.code, other.connections) == (SourceUnavailable, "endpoint_not_allowed", 0)

        network = Network(ca_file=ca_file, allow_endpoints=[other.url])
        assert ask(client(server.url), network=network, secret=lambda _: SECRET).credential.secrets() == (TOKEN,)


@pytest.mark.parametrize("name", ["AZURE_REGIONAL_AUTHORITY_NAME", "MSAL_FORCE_REGION"])
@pytest.mark.parametrize("value", ["westeurope", "TryAutoDetect"])
def test_no_regional_host(
    nobody: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str, name: str, value: str
) -> None:
    """No variable of the worker's leads the secret to another host."""
    nobody.setenv(name, value)
    with Rogue(discovery, reply(granted()), tls=serving(authority)) as server:
        ask(client(server.url), network=Network(ca_file=ca_file), secret=lambda _: SECRET)

    assert server.connections == 2


def test_environment_does_not_lead_a_client(nobody: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str) -> None:
    """Who a configured client is, and where it asks, the configuration alone says."""
    in_pod(nobody, "https://127.0.0.1:1", Path(ca_file).parent)
    with Rogue(discovery, reply(granted()), tls=serving(authority)) as server:
        ask(client(server.url), network=Network(ca_file=ca_file), secret=lambda _: SECRET)

    assert server.requests[-1].form["client_id"] == "a-client"
    assert client().ambient() == {}
    assert client(authority=None).endpoints() == [PUBLIC]


def test_jwt_that_ends_earlier_is_believed(nobody: pytest.MonkeyPatch) -> None:
    """The metadata service counts a token's life from when it was issued, which may be hours ago: the token knows."""
    end = int(time.time()) + 1_000
    with Rogue(reply(by_imds(token=jwt(exp=end, appid="an-app")))) as server:
        on_vm(nobody, server.url)
        source = managed()
        credential = source.mint(given(source))

    assert credential.expires_at == pytest.approx(end, abs=0.01)
    assert credential.principal == "an-app"


def test_chain_is_sent_with_a_certificate(authority: trustme.CA, ca_file: str, pem: str) -> None:
    """An app that trusts an issuer and a subject, instead of one certificate, must see the chain."""
    fields = {"identity": "client_certificate", "client_secret": None, "certificate": SecretName("a-pem")}
    with Rogue(discovery, reply(granted()), tls=serving(authority)) as server:
        ask(client(server.url, **fields), network=Network(ca_file=ca_file), secret=lambda _: pem)

    form = server.requests[-1].form
    sent = pyjwt.get_unverified_header(form["client_assertion"])["x5c"]
    assert "".join(sent[0].split()) in "".join(pem.split())
    assert "client_secret" not in form


@pytest.mark.parametrize(
    "text", ["no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"], ids=["text", "half"]
)
def test_certificate_that_is_none(text: str) -> None:
    """A secret that holds no certificate with its key proves nobody, and is not told."""
    source = client(identity="client_certificate", client_secret=None, certificate=SecretName("a-pem"))

    error = failure(source, secret=lambda _: text)

    assert (type(error), error.code) == (SourceUnavailable, "certificate_unusable")
    assert text not in story(error)


def test_certificate_with_another_key(authority: trustme.CA) -> None:
    """Entra ID takes RSA keys only: another is told before anyone is asked."""
    pem = authority.issue_cert("a.example.com", key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.bytes()
    source = client(identity="client_certificate", client_secret=None, certificate=SecretName("a-pem"))

    error = failure(source, secret=lambda _: pem.decode())

    assert (type(error), error.code) == (SourceUnavailable, "certificate_unusable")
    assert "RSA" in str(error)


# Workload identity, and whoever comes first


@pytest.mark.parametrize("name", ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"])
def test_pod_without_workload_identity(nobody: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """What the pod lacks is named."""
    in_pod(nobody, PUBLIC, tmp_path)
    nobody.delenv(name)

    error = failure(Azure(identity="workload", scope=SCOPE))

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")
    assert f"{name} is not set on this worker" in str(error)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_federated_token_file(nobody: pytest.MonkeyPatch, tmp_path: Path, fault: Callable[[Path], None]) -> None:
    """Whatever stands at the path of the token is told apart, and not sent."""
    path = in_pod(nobody, PUBLIC, tmp_path)
    path.unlink()
    fault(path)

    error = failure(Azure(identity="workload", scope=SCOPE))

    assert (type(error), error.code) == (SourceUnavailable, "file_unusable")
    assert IN_FILE not in story(error)


@pytest.mark.parametrize(
    "host", ["http://login.example.com", "https://login.example.com/path", "https://a b", "ftp://x"]
)
def test_bad_authority_of_the_environment(nobody: pytest.MonkeyPatch, tmp_path: Path, host: str) -> None:
    """An authority that is not the https URL of a host gets no token."""
    in_pod(nobody, host, tmp_path)

    error = failure(Azure(identity="workload", scope=SCOPE))

    assert (type(error), error.code) == (SourceUnavailable, "azure_configuration")
    assert "AZURE_AUTHORITY_HOST" in str(error)


CLIENT = {"AZURE_CLIENT_ID": "an-app", "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": SECRET}
CERTIFICATE = {"AZURE_CLIENT_ID": "an-app", "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_CERTIFICATE_PATH": "/a.pem"}
POD = {"AZURE_CLIENT_ID": "a-pod", "AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": "token"}
AKS = {**POD, "AZURE_AUTHORITY_HOST": "login.microsoftonline.us"}
APP = {"IDENTITY_ENDPOINT": "http://localhost:1", "IDENTITY_HEADER": HEADER}
ARC = {"IDENTITY_ENDPOINT": "http://localhost:1", "IMDS_ENDPOINT": "http://localhost:1"}
ONLY = "AZURE_TOKEN_CREDENTIALS"


@pytest.mark.parametrize(
    ("environment", "kind", "name"),
    [
        ({}, "default", "managed identity (IMDS)"),
        ({"AZURE_CLIENT_ID": "an-identity"}, "default", "managed identity (IMDS) an-identity"),
        ({"AZURE_CLIENT_SECRET": SECRET}, "default", "managed identity (IMDS)"),
        (CLIENT, "default", "client an-app"),
        (CERTIFICATE, "default", "client an-app"),
        ({**CLIENT, **POD, **APP}, "default", "client a-pod"),
        (POD, "default", "workload identity a-pod"),
        ({**POD, **APP}, "default", "workload identity a-pod"),
        ({**CLIENT, ONLY: "prod"}, "default", "client an-app"),
        ({**CLIENT, ONLY: "ManagedIdentityCredential"}, "default", "managed identity (IMDS) an-app"),
        ({**CLIENT, **POD, ONLY: "workloadidentitycredential"}, "default", "workload identity a-pod"),
        ({**CLIENT, ONLY: "EnvironmentCredential"}, "default", "client an-app"),
        (CLIENT, "managed", "managed identity (IMDS)"),
        (POD, "managed", "managed identity (IMDS)"),
        (AKS, "managed", "workload identity a-pod"),
        ({**AKS, **APP}, "managed", "managed identity (App Service)"),
        (ARC, "managed", "managed identity (Azure Arc)"),
        ({"MSI_ENDPOINT": "http://localhost:1", "MSI_SECRET": HEADER}, "managed", "managed identity (Azure ML)"),
        ({"MSI_ENDPOINT": "http://localhost:1"}, "managed", "managed identity (Cloud Shell)"),
    ],
)
def test_who_comes_first(
    nobody: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], kind: str, name: str
) -> None:
    """The environment decides who asks, in the order of azure-identity for servers, and the lease key knows it."""
    (tmp_path / "token").write_text(ASSERTION)
    nobody.chdir(tmp_path)
    before = Azure(identity="default", scope=SCOPE).ambient()
    for variable, value in environment.items():
        nobody.setenv(variable, value)
    worker = Worker(Network(), Deadline(SystemClock(), SECONDS))

    identity = azure_identity.default(worker, None, None) if kind == "default" else azure_identity.managed(worker, None)

    assert identity.name == name
    after = Azure(identity="default", scope=SCOPE).ambient()
    assert set(after) - set(before) == set(environment)
    assert SECRET not in str(after)
    assert HEADER not in str(after)


@pytest.mark.parametrize("value", ["dev", "AzureCliCredential", "canary-of-a-variable"])
def test_credentials_of_developers_are_refused(nobody: pytest.MonkeyPatch, value: str) -> None:
    """A worker starts no other programs to find out who it is."""
    nobody.setenv(ONLY, value)

    error = failure(Azure(identity="default", scope=SCOPE))

    assert (type(error), error.code) == (SourceUnavailable, "azure_configuration")
    assert "AZURE_TOKEN_CREDENTIALS names a credential that is not for workers" in str(error)
    assert "canary" not in story(error)


@pytest.mark.parametrize("variables", [CLIENT, None], ids=["secret", "certificate"])
def test_client_of_the_environment(
    nobody: pytest.MonkeyPatch,
    authority: trustme.CA,
    ca_file: str,
    tmp_path: Path,
    pem: str,
    variables: dict[str, str] | None,
) -> None:
    """A client that stands in the worker's environment proves itself by what stands there."""
    (tmp_path / "client.pem").write_text(pem)
    for name, value in (
        variables or {**CERTIFICATE, "AZURE_CLIENT_CERTIFICATE_PATH": str(tmp_path / "client.pem")}
    ).items():
        nobody.setenv(name, value)
    with Rogue(discovery, reply(granted()), tls=serving(authority)) as server:
        source = Azure(identity="default", scope=SCOPE, authority=server.url)
        assert ask(source, network=Network(ca_file=ca_file)).credential.secrets() == (TOKEN,)

    form = server.requests[-1].form
    assert form.get("client_secret") == (SECRET if variables else None)
    assert bool(form.get("client_assertion")) is (variables is None)


# Configuration


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({}, []),
        ({"scope": "api://crm"}, ["scope: an identity is granted nothing else, did you mean api://crm/.default?"]),
        ({"scope": "https://x/"}, ["scope: an identity is granted nothing else, did you mean https://x/.default?"]),
        ({"scope": "a b"}, ["scope: expected the scope"]),
        ({"scope": "a{color}"}, ["scope: expected the scope"]),
        ({"identity": "cli"}, ["identity: expected 'managed'"]),
        ({"tenant_id": TENANT}, ["tenant_id: does not go with identity managed"]),
        ({"authority": PUBLIC}, ["authority: does not go with identity managed"]),
        ({"client_secret": {"secret": "s"}}, ["client_secret: does not go with identity managed"]),
        ({"client_secret": "s3cret"}, ["client_secret: a secret goes by reference"]),
        ({"identity": "client_secret"}, ["client_id: req", "tenant_id: req", "client_secret: req"]),
        ({"identity": "client_certificate"}, ["client_id: req", "tenant_id: req", "certificate: req"]),
        ({"identity": "workload", "certificate": {"secret": "s"}}, ["certificate: does not go with identity workload"]),
        ({"identity": "default", "tenant_id": TENANT}, ["tenant_id: does not go with identity default"]),
        ({"identity": "workload", "tenant_id": "common"}, ["tenant_id: expected the id or the domain of one tenant"]),
        ({"identity": "workload", "tenant_id": "../x"}, ["tenant_id: expected the id or the domain of one tenant"]),
        ({"identity": "workload", "tenant_id": f"{TENANT}\n"}, ["tenant_id: expected"]),
        ({"identity": "workload", "authority": "http://127.0.0.1"}, ["authority: expected the https URL of a host"]),
        ({"identity": "workload", "authority": f"{PUBLIC}/common"}, ["authority: expected the https URL of a host"]),
        ({"client_id": "a b"}, ["client_id: expected the id"]),
    ],
)
def test_problems(fields: dict[str, Any], starts: list[str]) -> None:
    """Whatever cannot work together is told before anything is minted."""
    found = Problems()
    source = struct(Azure, {"identity": "managed", "scope": SCOPE, **fields}, "source", found)
    listed = [problem.removeprefix("source.") for problem in found] + (source.problems() if source else [])

    assert len(listed) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(listed, starts, strict=True))


# Who imports what, and when


def test_package_is_missing(nobody: pytest.MonkeyPatch) -> None:
    """Without the SDK the extra is named."""
    nobody.setitem(sys.modules, "azure.identity", None)

    error = failure(managed())

    assert (type(error), error.code) == (SourceUnavailable, "package_missing")
    assert "pip install 'airflow-ephemeral-secrets[azure]'" in str(error)


MINT = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, format="%(name)s says")
from airflow_ephemeral_secrets.sources import azure, azure_client, azure_errors, azure_identity, azure_key_vault
from airflow_ephemeral_secrets.testing import minting
heavy = {"azure", "msal", "requests", "urllib3", "jwt", "cryptography", "boto3", "botocore", "google.auth"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
source = azure.Azure(identity="managed", scope="api://crm/.default")
print(source.mint(minting(source)).token)
assert not {"boto3", "botocore", "google.auth"} & set(sys.modules)
logging.getLogger("azure.later").debug("heard")
"""


def test_only_whoever_mints_loads_the_sdk(nobody: pytest.MonkeyPatch) -> None:
    """Reading the configuration imports no SDK, minting imports no other cloud's, and none of it says a word."""
    with Rogue(reply(by_imds(expires_in="3000", expires_on="1800003000"))) as server:
        on_vm(nobody, server.url)
        done = subprocess.run(
            [sys.executable, "-c", MINT], env={**os.environ}, capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{TOKEN}\n"
    assert [line for line in done.stderr.splitlines() if line.startswith(("azure", "msal"))] == ["azure.later says"]


@pytest.mark.parametrize("identity", ["managed", "client_secret"])
def test_one_request_for_sixteen(
    nobody: pytest.MonkeyPatch, authority: trustme.CA, ca_file: str, identity: str
) -> None:
    """Sixteen threads that find no lease ask Azure once; its SDK would ask up to sixteen times."""
    on_host = identity == "managed"
    script = reply(by_imds()) if on_host else by_turns(discovery, reply(granted()))
    with Rogue(script, tls=None if on_host else serving(authority)) as server:
        on_vm(nobody, server.url)
        source = managed() if on_host else client(server.url)
        minting = given(source, network=Network(ca_file=ca_file), secret=lambda _: SECRET)
        cache = LeaseCache(SystemClock(), Random(1), lambda: None)
        start = threading.Barrier(16)
        got: list[str] = []

        def look_up() -> None:
            start.wait()
            held = cache.acquire(lease_key({"a": "b"}), mint, deadline=Deadline(SystemClock(), SECONDS), hold=0)
            got.extend(held.lease.credential.secrets())

        def mint(_: Instant) -> Credential:
            return source.mint(minting)

        threads = [threading.Thread(target=look_up) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert got == [TOKEN] * 16
    assert len(server.requests) == (1 if on_host else 2)
