"""Secrets of Google Secret Manager: read where they lie, each time anew."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import partial
from typing import Any

import pytest

from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import within
from airflow_ephemeral_secrets.reading import Problems, struct
from airflow_ephemeral_secrets.sources import google_secret_manager
from airflow_ephemeral_secrets.sources.base import Network, SecretReference
from airflow_ephemeral_secrets.sources.google_secret_manager import GoogleSecretManagerReference
from tests.peers.google_files import READER, WORKER
from tests.peers.google_stubs import GoogleStub
from tests.peers.rogue import Rogue, Script, deaf, reply
from tests.sources import conformance
from tests.sources.asking import story
from tests.sources.conformance import ReferenceConformance
from tests.sources.googling import files, google, network, nobody, write

__all__ = ["files", "google", "network", "nobody", "write"]

CANARY = "canary-of-a-secret"
NAME = "projects/a-project/secrets/a-secret"
HELD = '{"consumer_secret": "pässwörd\\n", "port": 8443}'


def read(reference: SecretReference, network: Network, seconds: float = 10.0) -> str:
    deadline = Deadline(SystemClock(), seconds)
    return within(deadline, lambda: reference.read(network, deadline))


def failure(reference: SecretReference, network: Network, seconds: float = 10.0) -> MintError:
    with pytest.raises(MintError) as caught:
        read(reference, network, seconds)
    assert CANARY not in story(caught.value)
    return caught.value


@pytest.fixture
def manager(google: GoogleStub) -> GoogleStub:
    """Our stub, with a secret of three versions, the second of which is binary."""
    for version, data in (("1", CANARY.encode()), ("2", b"\xff\xfe"), ("3", HELD.encode()), ("4", b"")):
        google.secrets[f"{NAME}/versions/{version}"] = data
    google.secrets[f"{NAME}/versions/latest"] = HELD.encode()
    return google


class TestGoogleStub(ReferenceConformance):
    """Against our stub of Google."""

    @pytest.fixture(autouse=True)
    def _reached(self, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conformance, "read", partial(read, network=network))

    @pytest.fixture
    def holds(self) -> str:
        return HELD

    @pytest.fixture
    def reference(self, manager: GoogleStub) -> GoogleSecretManagerReference:
        return GoogleSecretManagerReference(name=NAME)

    @pytest.fixture(params=[("latest", "port"), ("latest", "other"), ("1", "a"), ("2", None), ("4", None)])
    def missing(self, request: pytest.FixtureRequest, manager: GoogleStub) -> GoogleSecretManagerReference:
        version, key = request.param
        return GoogleSecretManagerReference(name=f"{NAME}/versions/{version}", json_key=key)


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({"name": f"{NAME}/versions/1"}, CANARY),
        ({"name": f"{NAME}/versions/3"}, HELD),
        ({"name": NAME, "json_key": "consumer_secret"}, "pässwörd\n"),
    ],
)
def test_stub_gives(manager: GoogleStub, network: Network, fields: dict[str, Any], held: str) -> None:
    """A version, or the latest, or a member of it is read, by two requests and no more."""
    assert read(GoogleSecretManagerReference(**fields), network) == held
    assert len(manager.requests) == 2


@pytest.mark.parametrize(("path", "who"), [(None, WORKER), ("key", WORKER), ("federation", "other"), ("user", "user")])
@pytest.mark.parametrize("impersonate", [None, READER])
def test_stub_is_asked_as_configured(
    manager: GoogleStub, network: Network, files: dict[str, str], path: str | None, who: str, impersonate: str | None
) -> None:
    """The secret is read as the worker, as what a file names, or as the account that either impersonates."""
    reference = GoogleSecretManagerReference(
        name=NAME, impersonate=impersonate, credentials_file=files[path] if path else None
    )

    assert read(reference, network) == HELD
    proof = manager.requests[-1].headers["authorization"].removeprefix("Bearer ")
    assert manager.principal(proof).split()[0] == (impersonate or who)


def test_stub_shows_rotation(manager: GoogleStub, network: Network) -> None:
    """Nothing is kept: a new version is what the next read gives."""
    reference = GoogleSecretManagerReference(name=NAME)
    assert read(reference, network) == HELD
    manager.secrets[f"{NAME}/versions/latest"] = b"rotated"

    assert read(reference, network) == "rotated"


def test_stub_knows_no_such_secret(manager: GoogleStub, network: Network) -> None:
    """The project, name and version are what to look at."""
    error = failure(GoogleSecretManagerReference(name=f"{NAME}/versions/9"), network)

    assert (type(error), error.code) == (SourceRefused, "NOT_FOUND")
    assert f"secret {NAME}/versions/9" in str(error)
    assert "the secret's name and its version" in str(error)


def test_worker_without_identity(nobody: pytest.MonkeyPatch) -> None:
    """Without an identity the store is not asked."""
    nobody.setenv("NO_GCE_CHECK", "true")
    error = failure(GoogleSecretManagerReference(name=NAME), Network())

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")


def held(data: Any) -> Script:
    return reply(json.dumps({"name": NAME, "payload": {"data": data}}).encode())


def said(code: int, status: str) -> Script:
    return reply(json.dumps({"error": {"code": code, "message": CANARY, "status": status}}).encode(), status=code)


@pytest.mark.parametrize(
    ("script", "json_key", "kind", "code"),
    [
        pytest.param(held(""), None, SourceUnavailable, "secret_missing", id="empty"),
        pytest.param(held(None), None, SourceUnavailable, "secret_missing", id="null"),
        pytest.param(held([CANARY]), None, SourceUnavailable, "secret_missing", id="list"),
        pytest.param(held(f"{CANARY}!"), None, SourceUnavailable, "secret_missing", id="no base64"),
        pytest.param(held("é"), None, SourceUnavailable, "secret_missing", id="no ASCII"),
        pytest.param(held(b64encode(b"\xff").decode()), None, SourceUnavailable, "secret_missing", id="binary"),
        pytest.param(held(b64encode(b"[" * 9_000).decode()), "a", SourceUnavailable, "secret_missing", id="deep"),
        pytest.param(reply(b"{}"), None, SourceFailed, "bad_answer", id="no payload"),
        pytest.param(reply(b'{"payload": 7}'), None, SourceFailed, "bad_answer", id="payload a number"),
        pytest.param(reply(b"[" * 20_000), None, SourceFailed, "bad_answer", id="deep answer"),
        pytest.param(reply(f"<html>{CANARY}".encode()), None, SourceFailed, "bad_answer", id="page"),
        pytest.param(reply(b"", status=204), None, SourceFailed, "bad_answer", id="no content"),
        pytest.param(reply(f"<html>{CANARY}".encode(), status=502), None, SourceFailed, "HTTP 502", id="gateway"),
        pytest.param(reply(CANARY.encode() * 10_000), None, SourceFailed, "too_large", id="too large"),
        pytest.param(said(403, "PERMISSION_DENIED"), None, SourceRefused, "PERMISSION_DENIED", id="refused"),
        pytest.param(said(400, "FAILED_PRECONDITION"), None, SourceRefused, "FAILED_PRECONDITION", id="disabled"),
        pytest.param(said(401, "UNAUTHENTICATED"), None, SourceRefused, "UNAUTHENTICATED", id="unauthenticated"),
        pytest.param(said(429, "RESOURCE_EXHAUSTED"), None, SourceFailed, "RESOURCE_EXHAUSTED", id="throttled"),
        pytest.param(said(503, "UNAVAILABLE"), None, SourceFailed, "UNAVAILABLE", id="503"),
        pytest.param(deaf, None, SourceFailed, "timeout", id="deaf"),
    ],
)
def test_bad_secret_manager(
    google: GoogleStub,
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    json_key: str | None,
    kind: type[MintError],
    code: str,
) -> None:
    """Whatever the store holds or says instead of a text is told apart, and none of it is told."""
    with Rogue(script) as server:
        monkeypatch.setattr(google_secret_manager, "API", f"{server.url}/v1/")
        reference = GoogleSecretManagerReference(name=NAME, json_key=json_key)
        error = failure(reference, Network(), 0.5 if code == "timeout" else 10.0)

    assert (type(error), error.code, server.connections) == (kind, code, 1)
    assert code == "timeout" or f"secret {NAME}/versions/latest" in str(error)
    if code == "PERMISSION_DENIED":
        assert "roles/secretmanager.secretAccessor" in str(error)


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({"name": NAME}, True),
        ({"name": "projects/1234/secrets/A_b-9/versions/12"}, True),
        ({"name": "projects/example.com:old-project/secrets/a/versions/an-alias"}, True),
        ({"name": NAME, "impersonate": READER, "credentials_file": "/run/secrets/key.json", "json_key": "a"}, True),
        ({"name": "a-secret"}, False),
        ({"name": f"{NAME}\n"}, False),
        ({"name": f"{NAME}/versions/1:destroy"}, False),
        ({"name": f"{NAME}/versions/../../b"}, False),
        ({"name": f"{NAME}?x"}, False),
        ({"name": NAME, "impersonate": "user@example.com"}, False),
        ({"name": NAME, "credentials_file": "key.json"}, False),
        ({"name": NAME, "secret": "x"}, False),
    ],
)
def test_configuration(fields: dict[str, Any], good: bool) -> None:
    """A name leads to one version of one secret, and to no other method of the API."""
    found = Problems()
    struct(GoogleSecretManagerReference, fields, "secret", found)

    assert (found == []) is good
