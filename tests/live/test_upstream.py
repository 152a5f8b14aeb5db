"""The way on to an API: whatever it does to a request, the client is told, and nothing is kept open for nobody."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import pytest
import requests
import trustme

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.live import upstream
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.shapes.http_sigv4 import HttpSigV4
from airflow_ephemeral_secrets.sources.base import Minting, Network
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.live.asking import REGION, Asking, Keys
from tests.live.gateways import Gateway, Seen, Tokens
from tests.peers import tls
from tests.peers.rogue import Peer, Rogue, Script, close, deaf, flood, hang, reply, response, say

PATIENCE = 10.0


Lead = Callable[[str], Asking]


@pytest.fixture
def lead(source: FakeSource, clock: FakeClock) -> Lead:
    """Ask an API at some URL through a bearer origin."""
    return lambda url: Asking(source, Http(source="fake", host=url, live=True), clock)


def talking(peer: Peer) -> None:
    """Answer request after request on one connection."""
    while True:
        peer.read()
        peer.send(response(b"ok", Connection="keep-alive"))


@pytest.mark.parametrize(
    ("script", "status", "told"),
    [
        pytest.param(close, 502, "no answer: ProtocolError", id="hangs up"),
        pytest.param(say(b"\x16\x03\x01 nonsense\r\n\r\n"), 502, "no answer: ProtocolError", id="no HTTP"),
        pytest.param(hang(), 504, "no answer in time", id="says nothing"),
        pytest.param(say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), 502, "interim answer (103)", id="interim"),
        pytest.param(say(b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n"), 502, "not HTTP", id="header"),
    ],
)
def test_api_that_gives_no_answer(
    lead: Lead, source: FakeSource, monkeypatch: pytest.MonkeyPatch, script: Script, status: int, told: str
) -> None:
    """An API that does not answer, or not in HTTP, is a bad gateway or one that timed out, and it is said of whom."""
    monkeypatch.setattr(upstream, "SILENCE", 0.2)
    with Rogue(script) as api:
        answer = lead(api.url)("POST", "/orders", data=b"{}")

    assert answer.status_code == status
    assert told in answer.text
    assert answer.headers["X-Airflow-Ephemeral"] == "refused"
    assert source.minted[0] not in answer.text


def test_certificate_that_nobody_trusts(lead: Lead) -> None:
    """An API whose certificate is not trusted gets no request, and the answer names the setting."""
    with Rogue(reply(b"ok"), tls=tls.serving(trustme.CA())) as api:
        answer = lead(api.url)("GET", "/orders")

    assert (answer.status_code, api.requests) == (502, [])
    assert "its certificate is not trusted; try: network.ca_file" in answer.text


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 200), ("DELETE", 200), ("POST", 502)])
def test_api_that_hangs_up_is_asked_again(lead: Lead, method: str, status: int) -> None:
    """A connection that the API had closed meanwhile costs nothing, where two requests do what one does."""
    with Rogue(close, reply(b"ok")) as api:
        assert lead(api.url)(method, "/orders", data=b"x").status_code == status


def test_connections_are_kept_and_shared(source: FakeSource, clock: FakeClock) -> None:
    """Requests to one API, of whatever place, go over the same connection, also those whose answer has no body."""
    with Rogue(talking) as api:
        for conn_id in range(3):
            asking = Asking(source, Http(source="fake", host=f"{api.url}/{conn_id}", live=True), clock)
            assert [asking("GET", "/orders").content for _ in range(3)] == [b"ok"] * 3
        assert api.connections == 1


def test_no_proxy_of_the_environment(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that name a proxy change nothing on the way to the API."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Rogue(reply(b"ok")) as api:
        assert lead(api.url)("GET", "/orders").content == b"ok"


def test_proxy_of_the_configuration(source: FakeSource, clock: FakeClock) -> None:
    """What ``network.proxy`` names stands between us and the API."""
    shape = Http(source="fake", host="http://127.0.0.1:1/v1", live=True)
    with Rogue(reply(b"ok")) as proxy:
        answer = Asking(source, shape, clock, network=Network(proxy=proxy.url))("GET", "/orders")

    assert answer.content == b"ok"
    assert proxy.requests[0].target == "http://127.0.0.1:1/v1/orders"


@pytest.mark.parametrize(
    ("method", "raw", "status", "reason", "body"),
    [
        ("HEAD", response(length=1_000), 200, "OK", b""),
        ("GET", response(status=204).replace(b"Content-Length: 0\r\n", b""), 204, "No Content", b""),
        ("GET", response(status=304, length=9), 304, "Not Modified", b""),
        ("GET", response(b"gone", status=410), 410, "Gone", b"gone"),
        ("GET", b"HTTP/1.1 299 Odd\r\nContent-Length: 1\r\n\r\nx", 299, "", b"x"),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\nuntil it ends", 200, "OK", b"until it ends"),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            200,
            "OK",
            b"abc",
        ),
    ],
)
def test_answers_of_every_framing(lead: Lead, method: str, raw: bytes, status: int, reason: str, body: bytes) -> None:
    """However an API says where its answer ends, the client gets all of it, and nothing more."""
    with Rogue(say(raw)) as api:
        answer = lead(api.url)(method, "/orders")

    assert (answer.status_code, answer.reason, answer.content) == (status, reason, body)


def test_answer_is_passed_back_as_it_is(lead: Lead) -> None:
    """Compression, cookies, several headers of one name, Latin-1 and Retry-After arrive untouched."""
    packed = gzip.compress(b"{}" * 100)
    raw = response(packed, status=429, Content_Encoding="gzip", Retry_After="Wed, 21 Oct 2037 07:28:00 GMT", X_N="ü")
    raw = raw.replace(b"X-N", b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Domain=api.example.com\r\nX-N")
    with Rogue(say(raw)) as api:
        spec = lead(api.url).spec()
        held = json.loads(spec.extra or "")
        client = http.client.HTTPConnection((spec.host or "").removeprefix("http://"), timeout=PATIENCE)
        client.request("GET", "/orders", headers={"X-Lease-Token": held["X-Lease-Token"], "Accept-Encoding": "gzip"})
        answer = client.getresponse()
        body, headers = answer.read(), answer.headers
        client.close()

    assert body == packed
    assert headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2; Domain=api.example.com"]
    assert (headers["Retry-After"], headers["X-N"]) == ("Wed, 21 Oct 2037 07:28:00 GMT", "ü")
    assert api.requests[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "raw",
    [
        response(b"half", length=8),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8, 8\r\n\r\nhalf",
    ],
    ids=["length", "chunks", "bad chunk", "length twice"],
)
def test_truncated_answer_stays_truncated(lead: Lead, raw: bytes) -> None:
    """An answer that breaks off does not look whole to the client."""
    with Rogue(say(raw)) as api, pytest.raises(requests.RequestException):
        lead(api.url)("GET", "/orders")


def test_pieces_come_as_they_are_sent(lead: Lead) -> None:
    """A stream of events is passed back event by event, head first."""
    read = threading.Event()

    def stream(peer: Peer) -> None:
        peer.read()
        for piece in (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b"data: 1\n\n", b"data: 2\n\n"):
            peer.send(piece)
            assert read.wait(PATIENCE)
            read.clear()

    with Rogue(stream) as api:
        spec = lead(api.url).spec()
        headers = {"X-Lease-Token": json.loads(spec.extra or "")["X-Lease-Token"]}
        with requests.get(f"{spec.host}/events", headers=headers, stream=True, timeout=PATIENCE) as answer:
            read.set()
            events = answer.raw.stream(9)
            for event in (b"data: 1\n\n", b"data: 2\n\n"):
                assert next(events) == event
                read.set()


def test_client_that_leaves_frees_the_api(lead: Lead) -> None:
    """Who hangs up in the middle of an answer takes our connection to the API along, and our thread."""
    before = set(threading.enumerate())
    with Rogue(flood(response(length=1 << 40), repeat(b"x" * 65_536))) as api:
        spec = lead(api.url).spec()
        headers = {"X-Lease-Token": json.loads(spec.extra or "")["X-Lease-Token"]}
        with requests.get(f"{spec.host}/large", headers=headers, stream=True, timeout=PATIENCE) as answer:
            assert answer.raw.read(100) == b"x" * 100
        assert api.deserted()
    _all_end(before)


def test_client_that_leaves_while_it_sends(source: FakeSource, clock: FakeClock) -> None:
    """Who hangs up in the middle of a body leaves no request half sent, no connection and no thread."""
    before = set(threading.enumerate())
    with Rogue(deaf) as api:
        spec = Asking(source, Http(source="fake", host=api.url, live=True), clock).spec()
        capability = json.loads(spec.extra or "")["X-Lease-Token"]
        client = http.client.HTTPConnection((spec.host or "").removeprefix("http://"), timeout=PATIENCE)
        client.putrequest("POST", "/large")
        client.putheader("X-Lease-Token", capability)
        client.putheader("Content-Length", "100000000")
        client.endheaders(b"x" * 100_000)
        client.close()
        assert api.deserted()
    _all_end(before)


def _all_end(before: set[threading.Thread]) -> None:
    ENDPOINT.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread.name


def test_no_space_for_a_body(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that must be held and cannot be is refused, and it is said why."""

    class Full:
        def __init__(self, **_: object) -> None:
            pass

        def write(self, _: bytes) -> None:
            raise OSError(28, "no space")

        def close(self) -> None:
            pass

    monkeypatch.setattr("airflow_ephemeral_secrets.live.body.tempfile.SpooledTemporaryFile", Full)
    with Rogue(reply(b"ok")) as api:
        asking = Asking(Keys(), HttpSigV4(source="fake", host=api.url, region=REGION), clock)
        answer = asking("POST", "/orders", data=b"x" * 100)

    assert (answer.status_code, api.requests) == (507, [])
    assert "no space left on device" in answer.text


# Credentials that are rejected


def refusing(headers: dict[str, str]) -> Callable[[Seen], tuple[int, dict[str, str], bytes]]:
    return lambda _: (401, headers, b"")


def test_own_token_of_the_dag_renews_nothing(lead: Lead, source: FakeSource, clock: FakeClock) -> None:
    """A token that the Dag brought itself and that is rejected says nothing of ours."""
    with Gateway(refusing({"WWW-Authenticate": 'Bearer error="invalid_token"'})) as gateway:
        asking = lead(gateway.url)
        for _ in range(3):
            clock.advance(60)
            assert asking("GET", "/orders", headers={"Authorization": "Bearer its-own"}).status_code == 401

        assert len(gateway.refused) == 3
        assert len(source.minted) == 1


def test_api_that_takes_no_token_is_no_storm(lead: Lead, source: FakeSource, clock: FakeClock) -> None:
    """Where a new token is rejected like the old one, the next is minted a minute later at the soonest."""
    with Gateway(refusing({"WWW-Authenticate": 'Bearer error="invalid_token"'})) as gateway:
        asking = lead(gateway.url)
        for _ in range(120):
            asking("GET", "/orders")
            clock.advance(1)

    assert len(source.minted) <= 4


def test_path_that_takes_no_token_is_no_storm(lead: Lead, source: FakeSource, clock: FakeClock) -> None:
    """Nor where another path of the API takes each of them."""
    refuses = refusing({"WWW-Authenticate": 'Bearer error="invalid_token"'})
    with Gateway(lambda seen: refuses(seen) if seen.target == "/other" else None) as gateway:
        asking = lead(gateway.url)
        for _ in range(120):
            assert [asking("GET", path).status_code for path in ("/orders", "/other")] == [200, 401]
            clock.advance(1)

    assert len(source.minted) <= 4


def test_provider_that_repeats_a_revoked_token_is_asked_again(clock: FakeClock) -> None:
    """A provider with a cache of its own may give the same token once more; a minute later it is asked again."""
    known = ["token-1"]

    class Caching(FakeSource, frozen=True, kw_only=True, tag="caching"):
        def mint(self, minting: Minting) -> Credential:
            super().mint(minting)
            return BearerToken(token=known[-1], expires_at=began + 3_600, principal="somebody")

    source, began = Caching(), clock.wall
    tokens = Tokens(lambda token: token == "token-2" if tokens.revoked else True)
    tokens.says = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    with Gateway(tokens) as gateway:
        asking = Asking(source, Http(source="fake", host=gateway.url, live=True), clock)
        asking("GET", "/orders")
        tokens.revoked.add("token-1")
        assert [asking("GET", "/orders").status_code for _ in range(3)] == [401] * 3
        assert len(source.minted) == 2
        known.append("token-2")
        clock.advance(61)

        assert asking("GET", "/orders").status_code == 200


def test_token_that_is_said_to_be_dead_is_minted_anew(lead: Lead, source: FakeSource) -> None:
    """An API that says ``invalid_token`` need not wait until a token is old enough to have been revoked."""
    tokens = Tokens(lambda token: bool(source.minted) and token == source.minted[-1])
    with Gateway(tokens) as gateway:
        asking = lead(gateway.url)
        asking("GET", "/orders")
        tokens.says = {"WWW-Authenticate": 'Bearer realm="x", error="invalid_token"'}
        tokens.revoked.add(source.minted[-1])

        assert asking("GET", "/orders").status_code == 200
        assert len(source.minted) == 2


def test_revoked_token_is_minted_anew_once_for_all(source: FakeSource) -> None:
    """Many requests that find the same token revoked share one new one, and none of them fails."""
    tokens = Tokens(lambda token: bool(source.minted) and token == source.minted[-1])
    tokens.says = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    with Gateway(tokens) as gateway:
        asking = Asking(source, Http(source="fake", host=gateway.url, live=True), SYSTEM_CLOCK)
        asking("GET", "/orders")
        tokens.revoked.add(source.minted[-1])
        spec = asking.spec()
        headers = {"X-Lease-Token": json.loads(spec.extra or "")["X-Lease-Token"]}
        answers: list[int] = []
        together = threading.Barrier(8)

        def ask() -> None:
            together.wait()
            answers.append(requests.get(f"{spec.host}/orders", headers=headers, timeout=PATIENCE).status_code)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert answers == [200] * 8
    assert len(source.minted) == 2


def test_large_body_is_not_sent_twice(lead: Lead, source: FakeSource, clock: FakeClock) -> None:
    """A body that is too large to be held goes through as it comes; its refusal is passed back, the next one works."""
    tokens = Tokens(lambda token: bool(source.minted) and token == source.minted[-1])
    with Gateway(tokens) as gateway:
        asking = lead(gateway.url)
        asking("GET", "/orders")
        tokens.revoked.add("fake-token-1")
        clock.advance(60)
        statuses = [asking("POST", "/orders", data=iter([b"x" * 700_000] * 4)).status_code for _ in range(2)]

        assert statuses == [401, 200]
        assert [len(seen.body) for seen in gateway.refused] == [2_800_000]
        assert len(source.minted) == 2


# What is written down


def test_each_lease_has_its_lines(source: FakeSource, clock: FakeClock, tmp_path: Path) -> None:
    """Every mint that a place causes names the caller of the lookup that opened it; a request more adds no line."""
    file = tmp_path / "audit.jsonl"
    with Rogue(talking) as api:
        asking = Asking(source, Http(source="fake", host=api.url, live=True), clock, audit=file)
        spec = asking.spec()
        headers = {"X-Lease-Token": json.loads(spec.extra or "")["X-Lease-Token"]}
        for _ in range(3):
            for _ in range(5):
                requests.get(f"{spec.host}/orders", headers=headers, timeout=PATIENCE)
            clock.advance(source.lives)
    lines = [json.loads(line) for line in file.read_text().splitlines()]

    assert [(line["event"], line.get("from")) for line in lines] == [
        ("mint", "minted"),
        ("lookup", "minted"),
        ("lookup", "memory"),
        ("mint", "minted"),
        ("lookup", "minted"),
        ("mint", "minted"),
        ("lookup", "minted"),
    ]
    assert {line["caller"]["dag_id"] for line in lines} == {"a_dag"}
    assert len({line["lease_id"] for line in lines}) == 3


def test_credential_is_masked_before_it_is_used(source: FakeSource, clock: FakeClock) -> None:
    """An API that repeats what it was sent shows only what has been masked by then, once for each credential."""
    known: list[bool] = []
    asking: Asking

    def judge(seen: Seen) -> None:
        token = seen.headers["authorization"].removeprefix("Bearer ")
        known.append(any(token in masks.forms for masks in asking.masked))

    with Gateway(judge) as gateway:
        asking = Asking(source, Http(source="fake", host=gateway.url, live=True), clock)
        for _ in range(3):
            asking("GET", "/orders")
            asking("GET", "/orders")
            clock.advance(source.lives)

    assert known == [True] * 6
    assert len(asking.masked) == 3
    assert all(masks.until < float("inf") for masks in asking.masked)
