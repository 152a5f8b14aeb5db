"""Secrets that lie in Azure Key Vault, in a stub of ours: there is none to install."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.reading import Problems, struct
from airflow_ephemeral_secrets.sources.azure_key_vault import AzureKeyVaultReference
from tests.peers.azure_stubs import CANARY, REQUEST_ID, TOKEN, after_challenge, by_imds, failed, granted, vault
from tests.peers.rogue import Rogue, Script, deaf, reply
from tests.peers.tls import serving
from tests.peers.wiremock import NOT_FOUND, WireMock, imds
from tests.sources.asking import read, story
from tests.sources.conformance import ReferenceConformance
from tests.sources.on_azure import nowhere, trusting

PEM = rsa.generate_private_key(65_537, 2_048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
HELD = {
    "apim-key": "held-by-key-vault",
    "apim-key/0123": "held-before",
    "a-json": '{"key": "held-by-key-vault"}',
    "a-pem": PEM,
}

Serve = Callable[[Script], AbstractContextManager[Rogue]]


@pytest.fixture(autouse=True)
def metadata(monkeypatch: pytest.MonkeyPatch, ca_file: str) -> Iterator[Rogue]:
    """A worker with a managed identity, who trusts the vault's certificate."""
    nowhere(monkeypatch)
    trusting(monkeypatch, ca_file)
    with Rogue(reply(by_imds())) as server:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
        yield server


@pytest.fixture
def serve(authority: trustme.CA) -> Serve:
    return lambda script: Rogue(script, tls=serving(authority))


@pytest.fixture
def server(serve: Serve) -> Iterator[Rogue]:
    with serve(vault(HELD)) as server:
        yield server


def lying(server: Rogue, name: str = "apim-key", **fields: Any) -> AzureKeyVaultReference:
    return AzureKeyVaultReference(vault_url=server.url, name=name, **fields)


class TestStubOfKeyVault(ReferenceConformance):
    @pytest.fixture
    def holds(self) -> str:
        return HELD["apim-key"]

    @pytest.fixture
    def reference(self, server: Rogue) -> AzureKeyVaultReference:
        return lying(server)

    @pytest.fixture(params=["other", "a-pem"])
    def missing(self, request: pytest.FixtureRequest, server: Rogue) -> AzureKeyVaultReference:
        return lying(server, request.param, json_key="key")


class TestStubOfKeyVaultWithJson(TestStubOfKeyVault):
    @pytest.fixture
    def reference(self, server: Rogue) -> AzureKeyVaultReference:
        return lying(server, "a-json", json_key="key")


class TestStubOfKeyVaultWithLines(TestStubOfKeyVault):
    """A certificate or key of many lines comes as it is."""

    @pytest.fixture
    def holds(self) -> str:
        return PEM

    @pytest.fixture
    def reference(self, server: Rogue) -> AzureKeyVaultReference:
        return lying(server, "a-pem")


def failure(reference: AzureKeyVaultReference, seconds: float = 10.0) -> MintError:
    with pytest.raises(MintError) as caught:
        read(reference, seconds=seconds)
    assert not [hidden for hidden in (CANARY, TOKEN, *HELD.values()) if hidden in story(caught.value)]
    return caught.value


def test_version(server: Rogue) -> None:
    """A version that is named is the one that is read."""
    assert read(lying(server, version="0123")) == "held-before"


def test_asks_after_challenge(server: Rogue, metadata: Rogue) -> None:
    """The vault says for which resource the token is to be; it gets it, and no other proof."""
    read(lying(server))

    assert [request.headers["Authorization"] for request in server.requests] == [None, f"Bearer {TOKEN}"]
    asked = [parse_qs(urlsplit(request.target).query)["resource"] for request in metadata.requests]
    assert asked == [["https://vault.azure.net"]]


def test_is_read_anew(server: Rogue, metadata: Rogue) -> None:
    """Nothing is kept: each read asks for a token and for the secret."""
    for times in (1, 2):
        read(lying(server))
        assert len(metadata.requests) == times
        assert sum("Authorization" in request.headers for request in server.requests) == times


def test_user_assigned_identity(server: Rogue, metadata: Rogue) -> None:
    """The identity that is named is the one that reads."""
    read(lying(server, client_id="an-identity"))

    assert "client_id=an-identity" in metadata.requests[0].target


@pytest.mark.parametrize("identity", ["managed", "workload", "default"])
def test_pod(monkeypatch: pytest.MonkeyPatch, serve: Serve, server: Rogue, ca_file: str, identity: Any) -> None:
    """In a pod with workload identity that one reads, whichever is named."""
    with serve(reply(granted())) as entra:
        for name, value in {
            "AZURE_AUTHORITY_HOST": entra.url,
            "AZURE_TENANT_ID": "a-tenant",
            "AZURE_CLIENT_ID": "a-pod",
            "AZURE_FEDERATED_TOKEN_FILE": ca_file,
        }.items():
            monkeypatch.setenv(name, value)
        assert read(lying(server, identity=identity)) == HELD["apim-key"]

    assert entra.requests[0].form["client_id"] == "a-pod"


FORBIDDEN = {
    None: ("Forbidden", "the role Key Vault Secrets User"),
    "ForbiddenByRbac": ("ForbiddenByRbac", "the role Key Vault Secrets User"),
    "ForbiddenByPolicy": ("ForbiddenByPolicy", "an access policy"),
    "AccessDenied": ("AccessDenied", "an access policy"),
    "ForbiddenByFirewall": ("ForbiddenByFirewall", "the vault's firewall"),
    "ForbiddenByConnection": ("ForbiddenByConnection", "a private endpoint"),
    "SecretDisabled": ("SecretDisabled", "enabling the secret"),
    CANARY: ("Forbidden", "the role Key Vault Secrets User"),
}


@pytest.mark.parametrize("inner", FORBIDDEN)
def test_forbidden(serve: Serve, inner: str | None) -> None:
    """Why the vault refuses is told as far as it says, with what to try."""
    code, hint = FORBIDDEN[inner]
    with serve(after_challenge(failed("Forbidden", inner), status=403, X_Ms_Request_Id=REQUEST_ID)) as server:
        error = failure(lying(server))

    assert (type(error), error.code, error.request_id) == (SourceRefused, code, REQUEST_ID)
    assert hint in str(error)
    assert f"secret apim-key of 127.0.0.1:{server.port}" in str(error)


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        pytest.param(after_challenge(failed("Throttled"), status=429), SourceFailed, "Throttled", id="429"),
        pytest.param(after_challenge(b"<html>", status=503), SourceFailed, "HTTP 503", id="503"),
        pytest.param(after_challenge(b"<html>", status=404), SourceFailed, "HTTP 404", id="stranger"),
        pytest.param(after_challenge(b"<html>"), SourceFailed, "bad_answer", id="page"),
        pytest.param(after_challenge(b"[" * 60_000), SourceFailed, "bad_answer", id="deep"),
        pytest.param(after_challenge(b"{}"), SourceFailed, "bad_answer", id="nothing"),
        pytest.param(after_challenge(b"x" * 70_000), SourceFailed, "too_large", id="too large"),
        pytest.param(after_challenge(b"", status=307, Location="/"), SourceFailed, "redirect", id="redirect"),
        pytest.param(vault({"apim-key": ""}), SourceUnavailable, "secret_missing", id="empty"),
        pytest.param(vault({"apim-key": None}), SourceUnavailable, "secret_missing", id="null"),
        pytest.param(vault({}, bearer="other"), SourceRefused, "Unauthorized", id="other tenant"),
        pytest.param(reply(b"", status=401), SourceFailed, "bad_answer", id="no challenge"),
        pytest.param(
            reply(b"", status=401, WWW_Authenticate="Basic realm=x"), SourceFailed, "bad_answer", id="other challenge"
        ),
    ],
)
def test_bad_key_vault(serve: Serve, script: Script, kind: type[MintError], code: str) -> None:
    """Whatever the vault holds or says instead of a text is told apart, and none of it is told."""
    with serve(script) as server:
        error = failure(lying(server))

    assert (type(error), error.code) == (kind, code)
    assert "secret apim-key of 127.0.0.1" in str(error)
    assert server.connections <= 2


def test_asks_us_to_wait(serve: Serve) -> None:
    """Retry-After is kept for whoever asks next."""
    with serve(after_challenge(failed("Throttled"), status=429, Retry_After="9")) as server:
        assert failure(lying(server)).retry_after == 9.0


def test_hangs(serve: Serve) -> None:
    """The deadline bounds a vault that says nothing."""
    with serve(deaf) as server:
        assert failure(lying(server), seconds=0.5).code == "timeout"


def test_expired_secret_is_told(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A vault gives out what it says has expired; it is used, and a warning says so."""
    with serve(vault(HELD, attributes={"exp": 1_700_000_001})) as server, caplog.at_level(logging.WARNING):
        assert read(lying(server)) == HELD["apim-key"]

    assert "secret apim-key of 127.0.0.1" in caplog.text
    assert "expired on 2023-11-14" in caplog.text


def test_wiremock_says_that_nobody_may_read(wiremock: WireMock, monkeypatch: pytest.MonkeyPatch, server: Rogue) -> None:
    """Why there was no token to read with is the error, with the secret that was to be read."""
    wiremock.script(imds(NOT_FOUND))
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", wiremock.url)

    error = failure(lying(server))

    assert (type(error), error.code) == (SourceUnavailable, "invalid_request")
    assert "secret apim-key of 127.0.0.1" in str(error)
    assert "managed identity (IMDS): token for https://vault.azure.net/.default" in str(error)


def test_challenge_for_another_resource(serve: Serve, metadata: Rogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that is not on this host cannot ask for a token that is for others."""
    monkeypatch.setattr("airflow_ephemeral_secrets.sources.azure_key_vault._LOOPBACK", NoMatch())
    with serve(vault(HELD, resource="https://graph.microsoft.com")) as server:
        error = failure(lying(server))

    assert (type(error), error.code) == (SourceFailed, "bad_answer")
    assert metadata.requests == []


class NoMatch:
    """Take nothing for this host."""

    def fullmatch(self, _: str) -> None:
        return None


def test_says_nothing(server: Rogue, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the token nor the secret reaches a log, at any level."""
    with caplog.at_level(logging.DEBUG):
        read(lying(server))

    said = "".join(f"{vars(record)} {record.getMessage()}" for record in caplog.records)
    assert [hidden for hidden in (TOKEN, HELD["apim-key"]) if hidden in said] == []
    assert [record.name for record in caplog.records if record.name.partition(".")[0] in {"azure", "msal"}] == []


@pytest.mark.parametrize("package", ["azure.keyvault.secrets", "azure.identity"])
def test_package_is_missing(server: Rogue, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Without an SDK the extra is named."""
    monkeypatch.setitem(sys.modules, package, None)

    error = failure(lying(server))

    assert (type(error), error.code) == (SourceUnavailable, "package_missing")
    assert package.replace(".", "-") in str(error)
    assert "airflow-ephemeral-secrets[azure]" in str(error)


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({}, None),
        ({"vault_url": "http://127.0.0.1:1"}, "a.vault_url: expected the https URL of a vault"),
        ({"vault_url": "https://a.vault.azure.net/secrets/x"}, "a.vault_url: expected the https URL of a vault"),
        ({"vault_url": "https://a@b.vault.azure.net"}, "a.vault_url: expected the https URL of a vault"),
        ({"name": "a/b"}, "a.name: expected 1 to 127 letters"),
        ({"name": "a?b=c"}, "a.name: expected 1 to 127 letters"),
        ({"version": "../x"}, "a.version: expected the version"),
        ({"identity": "client_secret"}, "a.identity: expected 'managed'"),
        ({"authority": "https://login.microsoftonline.us"}, "a: authority does not go with identity managed"),
        ({"identity": "workload", "authority": "https://login.microsoftonline.us"}, None),
    ],
)
def test_problems(fields: dict[str, Any], starts: str | None) -> None:
    """What could ask for something else, or cannot work, is told when the configuration is read."""
    found = Problems()
    struct(AzureKeyVaultReference, {"vault_url": "https://a.vault.azure.net", "name": "a", **fields}, "a", found)

    assert [problem[: len(starts or "")] for problem in found] == ([starts] if starts else [])
