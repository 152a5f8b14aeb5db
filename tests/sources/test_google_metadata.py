"""The metadata server of this machine: what it is asked, and whatever answers in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.google import Google
from tests.peers.google_files import WORKER
from tests.peers.google_stubs import CLOUD_PLATFORM, GoogleStub
from tests.peers.rogue import Rogue, Script, deaf, hang, reply
from tests.sources.asking import failure, story
from tests.sources.bad_files import CANARY
from tests.sources.googling import (
    AUDIENCE,
    BIGQUERY,
    denial,
    files,
    google,
    mint,
    network,
    nobody,
    write,
)

__all__ = ["files", "google", "network", "nobody", "write"]


def machine(*scripts: Script) -> Rogue:
    return Rogue(*scripts)


def metadata(body: bytes, status: int = 200, flavor: str = "Google", **headers: str) -> Script:
    return reply(body, status=status, Metadata_Flavor=flavor, **headers)


INFO = metadata(json.dumps({"email": WORKER, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}).encode())


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        (metadata(f"<html>{CANARY}".encode(), 404), SourceUnavailable, "no_identity"),
        (reply(b'{"access_token": "x"}'), SourceUnavailable, "no_identity"),
        (metadata(b"{}", flavor="Other"), SourceUnavailable, "no_identity"),
        (metadata(CANARY.encode(), 403), SourceRefused, "HTTP 403"),
        (metadata(CANARY.encode(), 400), SourceRefused, "HTTP 400"),
        (metadata(CANARY.encode(), 429, Retry_After="3"), SourceFailed, "HTTP 429"),
        (metadata(CANARY.encode(), 503), SourceFailed, "HTTP 503"),
        (metadata(b"", 500), SourceFailed, "HTTP 500"),
        (metadata(CANARY.encode()), SourceFailed, "bad_answer"),
        (metadata(b""), SourceFailed, "bad_answer"),
        (metadata(b"{}"), SourceFailed, "bad_answer"),
        (metadata(b'{"access_token": "a b", "expires_in": 60}'), SourceFailed, "bad_answer"),
        (metadata(b'{"access_token": "a", "expires_in": 0}'), SourceFailed, "bad_lifetime"),
        (metadata(CANARY.encode() * 10_000), SourceFailed, "too_large"),
        (metadata(b"", 302, Location="http://127.0.0.1/"), SourceFailed, "redirect"),
        (deaf, SourceFailed, "timeout"),
        (hang(b"HTTP/1.1 200 OK\r\n"), SourceFailed, "timeout"),
    ],
)
def test_bad_metadata_server(nobody: pytest.MonkeyPatch, script: Script, kind: type[MintError], code: str) -> None:
    """Whatever answers at the metadata server's address, and however, is asked once and told apart."""
    with machine(INFO, script) as server:
        nobody.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
        error = failure(Google(), seconds=0.5 if code == "timeout" else 10.0)

    assert (type(error), error.code) == (kind, code)
    assert (CANARY in story(error), server.connections) == (False, 2)


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"email": WORKER},
        {"email": WORKER, "scopes": {}},
        {"email": f"{CANARY}\nforged", "scopes": []},
        {"scopes": []},
        [],
    ],
)
def test_bad_account(nobody: pytest.MonkeyPatch, info: Any) -> None:
    """A machine's account without a name, or with one that would forge a log, is nonsense."""
    with machine(metadata(json.dumps(info).encode())) as server:
        nobody.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
        error = failure(Google())

    assert (type(error), error.code, CANARY in story(error)) == (SourceFailed, "bad_answer", False)


def test_scopes_that_are_no_words(nobody: pytest.MonkeyPatch) -> None:
    """Whatever stands among a machine's scopes, it is compared, and is none that is wanted."""
    with machine(metadata(json.dumps({"email": WORKER, "scopes": [{}, [], None, 7]}).encode())) as server:
        nobody.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
        assert failure(Google()).code == "scope_narrowed"


def test_no_metadata_server(nobody: pytest.MonkeyPatch) -> None:
    """A worker outside of Google, without a credentials file, is told what would give it an identity."""
    with Rogue(deaf) as server:
        pass
    nobody.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
    error = failure(Google())

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(error)


def test_metadata_server_is_not_looked_for(google: GoogleStub, nobody: pytest.MonkeyPatch) -> None:
    """NO_GCE_CHECK keeps its meaning: nothing is asked."""
    nobody.setenv("NO_GCE_CHECK", "true")

    assert (failure(Google()).code, google.requests) == ("no_identity", [])


@pytest.mark.parametrize("host", ["metadata.test", "user@metadata.test", "169.254.169.254.test", "localhost.test"])
def test_environment_leads_nowhere_else(nobody: pytest.MonkeyPatch, host: str) -> None:
    """A variable sends the worker to link-local and loopback addresses only, for it is asked over plain http."""
    nobody.setenv("GCE_METADATA_HOST", host)

    error = failure(Google())

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")
    assert "plain http" in str(error)


def test_metadata_server_is_asked_by_no_proxy(google: GoogleStub, network: Network) -> None:
    """What is asked of this machine's own metadata server goes through nobody else's hands."""
    with Rogue(deaf) as proxy:
        mint(Network(proxy=proxy.url))

    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("has", "wants", "good"),
    [
        ([CLOUD_PLATFORM], [BIGQUERY], True),
        ([BIGQUERY], [BIGQUERY], True),
        ([BIGQUERY], ["openid", "email"], True),
        ([BIGQUERY], [], False),
        ([BIGQUERY], [BIGQUERY, "https://www.googleapis.com/auth/drive"], False),
    ],
)
def test_scopes_of_the_machine(
    google: GoogleStub, network: Network, has: list[str], wants: list[str], good: bool
) -> None:
    """Compute Engine ignores the scopes that are asked for; those that a machine has not are refused, by name."""
    google.instance_scopes = has
    if good:
        assert mint(network, scopes=wants)
    else:
        error = denial(network, scopes=wants)
        assert (type(error), error.code) == (SourceRefused, "scope_narrowed")
        assert (wants or [CLOUD_PLATFORM])[-1] in str(error)


STOCK = """
import sys
from google.auth import compute_engine
from google.auth.transport.requests import Request
access = compute_engine.Credentials(scopes=["a", "b"])
access.refresh(Request())
identity = compute_engine.IDTokenCredentials(Request(), sys.argv[1], use_metadata_identity_endpoint=True)
identity.refresh(Request())
print(access.service_account_email)
"""


def test_stock_client_asks_our_stub_of_the_metadata_server_the_same(google: GoogleStub, network: Network) -> None:
    """What google-auth's own client asks of the metadata server, we ask; and our stub is one to it."""
    done = subprocess.run([sys.executable, "-c", STOCK, AUDIENCE], capture_output=True, text=True, check=False)
    theirs = {(request.target, str(request.query)) for request in google.requests}
    google.requests.clear()
    mint(network, scopes=["a", "b"])
    mint(network, token="id", audience=AUDIENCE)

    assert done.stdout.strip() == WORKER, done.stderr
    assert {(request.target, str(request.query)) for request in google.requests} == theirs
