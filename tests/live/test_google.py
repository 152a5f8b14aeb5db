"""Google's libraries, which get their tokens from the asking process for as long as they work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import grpc
import pytest
import trustme

from tests.live.gateways import Gateway
from tests.live.issuer import Issuer
from tests.peers.google_stubs import lead_to
from tests.peers.installed import provider
from tests.peers.rogue import Peer, Rogue
from tests.peers.tls import serving
from tests.shapes.worker import Seen, Trust, answer, work

FOR = 11
"""Seconds, in which a token of the issuer dies three times."""


class Apis:
    """Google's APIs over HTTP: storage, with one object that comes late, and databases."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._first_sought: float | None = None

    def __call__(self, peer: Peer) -> None:
        request = peer.read()
        if not self._issuer.judge(request.headers["Authorization"].removeprefix("Bearer ")):
            peer.send(answer({"error": {"code": 401, "message": "Invalid Credentials"}}, status=401))
        elif "late-object" not in request.target:
            peer.send(answer({"kind": "storage#objects", "items": [{"name": "an-object"}], "name": "an-instance"}))
        elif self._late():
            peer.send(answer({"error": {"code": 404}}, status=404))
        else:
            peer.send(answer({"name": "late-object", "size": "1"}))

    def _late(self) -> bool:
        self._first_sought = self._first_sought or time.monotonic()
        return time.monotonic() - self._first_sought < FOR


@contextmanager
def secret_manager(issuer: Issuer, authority: trustme.CA) -> Iterator[int]:
    """Be Google's Secret Manager, over gRPC, on a port of this machine."""

    def access(_: bytes, context: grpc.ServicerContext) -> bytes:
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        if not issuer.judge(token):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials")
        return b"\n\x08a-secret"

    method = grpc.unary_unary_rpc_method_handler(access)
    service = "google.cloud.secretmanager.v1.SecretManagerService"
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"AccessSecretVersion": method})])
    certified = authority.issue_cert("secretmanager.googleapis.com")
    key, chain = certified.private_key_pem.bytes(), b"".join(pem.bytes() for pem in certified.cert_chain_pems)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


class Ran(NamedTuple):
    """What the worker saw, and what the issuer and the API saw of it."""

    seen: Seen
    issuer: Issuer


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("google")
    trust, home, issuer = Trust(tmp_path_factory.mktemp("trust")), tmp_path_factory.mktemp("worker"), Issuer()
    (home / "tmp").mkdir()
    tls = serving(trust.authority, "*.googleapis.com")
    recipe = {"shape": "google_cloud_platform", "project": "acme-lake", "num_retries": 0, "live": True}
    with (
        Gateway(issuer) as gateway,
        Rogue(Apis(issuer), tls=tls) as apis,
        Rogue(Apis(issuer)) as api,
        secret_manager(issuer, trust.authority) as port,
        Rogue(lead_to(port)) as proxy,
    ):
        seen = work(
            "google_live",
            {"lake": {"source": "short", **recipe}, "lasting": {"source": "long", **recipe}},
            sources={name: issuer.source(gateway, name) for name in ("short", "long")},
            home=home,
            FOR=str(FOR),
            API=f"{api.url}/instances/i",
            GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=trust.ca_file,
            grpc_proxy=proxy.url,
            ISSUER=gateway.url,
            LEADS_TO=str(apis.port),
            REQUESTS_CA_BUNDLE=trust.ca_file,
            SSL_CERT_FILE=trust.ca_file,
            TMPDIR=str(home / "tmp"),
        )
    return Ran(seen, issuer)


def test_hooks_outlive_their_tokens(ran: Ran) -> None:
    """Hooks that were made once work through more than three lifetimes, however they ask, and no token was dead."""
    assert [found for found in ran.seen["outlived"] if "error" in found] == []
    assert {tuple(found) for found in ran.seen["outlived"]} == {("an-object",), ("a-secret",), ("an-instance",)}
    assert len(ran.issuer.used) > 3


def test_trigger_outlives_its_tokens(ran: Ran) -> None:
    """A trigger on gcloud-aio, which refreshes before its first request, polls for longer than three lifetimes."""
    assert ran.seen["event"] == {"status": "success", "message": "success"}


def test_connection_is_read_once(ran: Ran) -> None:
    """The hooks and the trigger each ask for their connection once."""
    assert ran.seen["reads"] == 4


def test_operator(ran: Ran) -> None:
    """So does the operator."""
    assert ran.seen["operator"] == ["an-object"]


def test_revoked_token_costs_one_request(ran: Ran) -> None:
    """A token that is revoked is minted anew when google-auth asks again, and the hook notices nothing."""
    assert ran.seen["before"] == ran.seen["recovered"] == ["an-object"]
    assert len(ran.issuer.refused) == 1


def test_nothing_is_written(ran: Ran) -> None:
    """Neither the hook nor its library writes a file, for a moment or for longer: what they read lies in memory."""
    assert ran.seen["files"] == []
    assert "Getting connection using credential configuration file: " in ran.seen.log


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a token, however talkative, and no error tells one."""
    assert ran.seen.leaks() == [token for token in ran.issuer.granted if token in ran.seen.log] == []
