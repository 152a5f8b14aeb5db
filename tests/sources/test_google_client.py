"""Whatever a credentials file holds, and whatever answers instead of Google: one clear error, and nothing told."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.google import Google
from airflow_ephemeral_secrets.sources.google_client import TOKEN_URL, Client
from tests.peers.google_files import READER, USER, federation, key_file
from tests.peers.google_stubs import GoogleStub
from tests.peers.rogue import Peer, Rogue, deaf, reply, response
from tests.sources.asking import failure, story
from tests.sources.googling import (
    AUDIENCE,
    SUBJECT_TOKEN,
    Write,
    denial,
    files,
    google,
    impersonation_url,
    mint,
    network,
    nobody,
    write,
)

__all__ = ["files", "google", "network", "nobody", "write"]

# The token endpoint; what it may answer instead of a token is in test_bad_tokens


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id_token": 7}', b'{"access_token": "x"}', b"{" * 5_000])
def test_no_id_token(nobody: pytest.MonkeyPatch, write: Write, body: bytes) -> None:
    """An answer of the token endpoint that holds no ID token is nonsense."""
    with Rogue(reply(body)) as server:
        source = Google(token="id", audience=AUDIENCE, credentials_file=write(key_file(token_uri=server.url)))
        error = failure(source, network=Network(allow_endpoints=[server.url]))

    assert (type(error), error.code, server.connections) == (SourceFailed, "bad_answer", 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("error", ["internal_failure", "temporarily_unavailable"])
def test_is_asked_once(nobody: pytest.MonkeyPatch, write: Write, status: int, error: str) -> None:
    """google-auth would ask three times, seconds apart: the lease cache retries, once, under one deadline."""
    with Rogue(reply(json.dumps({"error": error}).encode(), status=status)) as server:
        source = Google(credentials_file=write(key_file(token_uri=server.url)))
        failed = failure(source, network=Network(allow_endpoints=[server.url]))

    assert (type(failed), failed.code, server.connections) == (SourceFailed, error, 1)


def test_client_secret_is_no_code(nobody: pytest.MonkeyPatch, write: Write, tmp_path: Path) -> None:
    """A federation may have a client of its own, whose secret goes by Basic: it is not repeated where a code stands."""
    (tmp_path / "token").write_text(SUBJECT_TOKEN)
    client = {"client_id": "workforce", "client_secret": USER["client_secret"]}
    with Rogue(reply(json.dumps({"error": USER["client_secret"]}).encode(), status=401)) as sts:
        info = federation({"file": str(tmp_path / "token")}, token_url=sts.url, **client)
        error = failure(Google(credentials_file=write(info)), network=Network(allow_endpoints=[sts.url]))

    assert error.code == "HTTP 401"
    assert USER["client_secret"] not in story(error)
    assert sts.requests[0].headers["Authorization"].startswith("Basic ")


# What a mint leaves behind


@pytest.mark.parametrize("path", ["key", "federation", "aws", "user"])
def test_missing_package(files: dict[str, str], network: Network, nobody: pytest.MonkeyPatch, path: str) -> None:
    """Without google-auth the error names the extra that brings it."""
    for name in (
        "google.oauth2.service_account",
        "google.auth.identity_pool",
        "google.auth.aws",
        "google.oauth2.credentials",
    ):
        nobody.setitem(sys.modules, name, None)

    error = denial(network, credentials_file=files[path])

    assert (type(error), error.code) == (SourceUnavailable, "package_missing")
    assert str(error).endswith("try: pip install 'airflow-ephemeral-secrets[google]'")


COLD = """
import sys
import airflow_ephemeral_secrets.sources.google, airflow_ephemeral_secrets.sources.google_secret_manager
from tests.sources.googling import mint
from airflow_ephemeral_secrets.sources.base import Network
assert "google.auth" not in sys.modules, "imported too early"
mint(Network(proxy=sys.argv[1], ca_file=sys.argv[2]), credentials_file=sys.argv[3] or None, impersonate=sys.argv[4])
heavy = {"google.auth", "requests", "boto3", "botocore", "azure.core", "msal"}
print(*sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("path", "loaded"), [(None, ""), ("key", "google.auth"), ("aws", "google.auth"), ("user", "google.auth")]
)
def test_mint_loads_its_own_client_only(
    google: GoogleStub, network: Network, files: dict[str, str], path: str | None, loaded: str
) -> None:
    """A mint imports google-auth where a file asks for it, and nothing else that is heavy."""
    argv = [str(network.proxy), str(network.ca_file), files[path] if path else "", READER]
    done = subprocess.run(
        [sys.executable, "-c", COLD, *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert (done.stdout.strip(), done.returncode) == (loaded, 0), done.stderr


def test_environment_does_not_steer(
    google: GoogleStub, network: Network, files: dict[str, str], nobody: pytest.MonkeyPatch
) -> None:
    """Proxies, certificates and switches for google-auth in the environment change nothing of the requests."""
    with Rogue(deaf) as other:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
            nobody.setenv(name, other.url)
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            nobody.setenv(name, "/nowhere")
        for name in ("GOOGLE_AUTH_TRUST_BOUNDARY_ENABLED", "GOOGLE_API_USE_CLIENT_CERTIFICATE"):
            nobody.setenv(name, "true")
        mint(network, credentials_file=files["key"])
        mint(network, impersonate=READER)

    assert other.connections == 0
    assert len(google.requests) == 3


def test_untrusted_google_gets_nothing(google: GoogleStub, network: Network, files: dict[str, str]) -> None:
    """Only ``network.ca_file`` says whom to trust."""
    error = denial(Network(proxy=network.proxy), credentials_file=files["key"])

    assert (type(error), error.code, google.requests) == (SourceFailed, "tls", [])


def echo(peer: Peer) -> None:
    """Refuse, and repeat the whole request as the reason."""
    said = {"error": {"status": "PERMISSION_DENIED", "message": peer.read().everything}}
    peer.send(response(json.dumps(said).encode(), status=403))


def test_key_is_never_told(nobody: pytest.MonkeyPatch, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a key nor what it signed is in any error, log or representation."""
    info = key_file()
    with caplog.at_level(logging.DEBUG), Rogue(echo) as server:
        listed = Network(allow_endpoints=[server.url])
        error = failure(Google(credentials_file=write({**info, "token_uri": server.url})), network=listed)

    assert error.code == "PERMISSION_DENIED"
    whole = story(error) + caplog.text
    lines = [line for line in info["private_key"].splitlines() if len(line) > 40]
    assert not [line for line in (*lines, server.requests[0].form["assertion"]) if line in whole]


def test_nothing_is_asked_after_the_token(google: GoogleStub, network: Network) -> None:
    """google-auth's work ends with the token endpoint's answer: what it would ask next is not asked."""
    from google.oauth2.service_account import Credentials

    class Curious(Credentials):  # type: ignore[misc]  # it is untyped
        def refresh(self, request: Any) -> None:
            super().refresh(request)
            request(impersonation_url().replace("generateAccessToken", "allowedLocations"))

    clock = SystemClock()
    client = Client(network=network, deadline=Deadline(clock, 10), asked=clock.now())
    curious = Curious.from_service_account_info(key_file(), scopes=["a"])

    assert client.prove(curious, TOKEN_URL, "a token", "a file").status == 200
    assert google.targets == ["oauth2.googleapis.com/token"]


def test_google_auth_says_nothing(google: GoogleStub, network: Network, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever google-auth would log while it proves who we are, it does not."""
    from google.oauth2 import _client

    class Chatty:
        def refresh(self, request: Any) -> None:
            logging.getLogger(_client.__name__).error(SUBJECT_TOKEN)

    logging.getLogger(_client.__name__)
    clock = SystemClock()
    client = Client(network=network, deadline=Deadline(clock, 10), asked=clock.now())
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceUnavailable):
        client.prove(Chatty(), TOKEN_URL, "a token", "a file")

    assert caplog.records == []


def test_who_never_asks_proves_nothing(google: GoogleStub, network: Network) -> None:
    """Whatever google-auth does instead of asking the token endpoint, no token comes of it."""

    class Idle:
        def refresh(self, request: Any) -> None:
            self.token = "made up"

    clock = SystemClock()
    client = Client(network=network, deadline=Deadline(clock, 10), asked=clock.now())

    with pytest.raises(SourceUnavailable, match="a file proves nothing"):
        client.prove(Idle(), TOKEN_URL, "a token", "a file")
