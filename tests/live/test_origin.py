"""What stands in for an API on loopback: each request goes on with a credential that is fresh at that moment."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import requests

from airflow_ephemeral_secrets.caller import Caller, Process
from airflow_ephemeral_secrets.errors import AccessDenied, SourceFailed
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.shapes.http_sigv4 import HttpSigV4
from airflow_ephemeral_secrets.shapes.live import CAPABILITY
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.live.asking import REGION, Asking, Keys
from tests.live.gateways import Gateway, Signatures, Tokens


@pytest.fixture
def tokens(source: FakeSource) -> Tokens:
    """Only the newest token is good."""
    return Tokens(lambda token: bool(source.minted) and token == source.minted[-1])


@pytest.fixture
def gateway(tokens: Tokens) -> Iterator[Gateway]:
    with Gateway(tokens) as gateway:
        yield gateway


@pytest.fixture
def ask(source: FakeSource, gateway: Gateway, clock: FakeClock) -> Asking:
    return Asking(source, Http(source="fake", host=f"{gateway.url}/v1", live=True), clock)


def test_connection_holds_no_credential(ask: Asking, source: FakeSource) -> None:
    """What the hook holds is a place and a capability, the same for as long as the process lives; nothing else."""
    spec = ask.spec()

    assert (spec.host or "").startswith("http://127.0.0.1:")
    assert set(json.loads(spec.extra or "")) == {CAPABILITY, "trust_env"}
    assert source.minted[0] not in f"{spec.fields()}"
    capability = json.loads(spec.extra or "")[CAPABILITY]
    assert len(capability) >= 43
    assert capability in spec.secrets
    assert capability not in repr(spec)
    assert capability not in (spec.host or "")
    assert ask.spec() == spec


def test_lives_longer_than_its_tokens(ask: Asking, source: FakeSource, gateway: Gateway, clock: FakeClock) -> None:
    """One connection serves through many lifetimes; every request bears the token of its moment."""
    for _ in range(40):
        assert ask("GET", "/orders").status_code == 200
        clock.advance(100)

    assert gateway.refused == []
    assert 4 <= len(source.minted) <= 10


def test_revoked_token_is_minted_anew_once(
    ask: Asking, source: FakeSource, gateway: Gateway, tokens: Tokens, clock: FakeClock
) -> None:
    """A token that its target has revoked costs one request and one mint."""
    ask("GET", "/orders")
    tokens.revoked.add(source.minted[-1])
    clock.advance(60)

    assert ask("POST", "/orders", data=b"x" * 10_000).json() == {"path": "/v1/orders", "size": 10_000}
    assert (len(gateway.refused), len(source.minted)) == (1, 2)


def test_new_token_that_is_refused_is_not_minted_anew(ask: Asking, source: FakeSource, tokens: Tokens) -> None:
    """Another token would fare no better: the refusal is passed on with all that the gateway said."""
    tokens.valid = lambda _: False
    answers = [ask("GET", "/orders") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].headers["Retry-After"] == "7"
    assert len(source.minted) == 1


def test_headers_of_the_hop_stay(ask: Asking, gateway: Gateway) -> None:
    """What belongs to one hop is not passed on, and the capability never leaves this host."""
    answer = ask("GET", "/orders?x=1", headers={"Connection": "X-Drop", "X-Drop": "1", "TE": "trailers", "X-Keep": "1"})
    (seen,) = gateway.granted

    assert seen.target == "/v1/orders?x=1"
    assert seen.headers["host"] == gateway.url.removeprefix("http://")
    assert seen.headers["x-keep"] == "1"
    assert not {"x-drop", "te", CAPABILITY.lower()} & set(seen.headers)
    assert answer.headers["X-Kept"] == "yes"
    assert "Keep-Alive" not in answer.headers


def test_header_of_the_dag_wins(ask: Asking, gateway: Gateway) -> None:
    """A Dag that brings its own Authorization is not overridden, as with a static connection."""
    ask("GET", "/orders", headers={"Authorization": "Bearer its-own"})

    assert gateway.refused[0].headers["authorization"] == "Bearer its-own"


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_arrive_whole(ask: Asking, gateway: Gateway, size: int, chunked: bool) -> None:
    """A body of any size, announced or in chunks, is passed on as it is."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    ask("PUT", "/orders", data=iter([body[:1000], body[1000:]]) if chunked and size > 1_000 else body)

    assert gateway.granted[-1].body == body


@pytest.mark.parametrize(
    ("location", "led"),
    [
        ("{gateway}/v1/next?a=1", "/next?a=1"),
        ("/v1/next", "/next"),
        ("/elsewhere", "{gateway}/elsewhere"),
        ("/v1", "/"),
        ("?page=2", "/orders?page=2"),
        ("#done", "/orders?page=1#done"),
        ("lines/1", "/lines/1"),
        ("../health", "{gateway}/health"),
        ("https://other.example.com/v1/next", "https://other.example.com/v1/next"),
        ("//other.example.com/v1", "http://other.example.com/v1"),
    ],
)
def test_redirects_within_the_api_come_back_here(
    ask: Asking, gateway: Gateway, tokens: Tokens, location: str, led: str
) -> None:
    """A redirect is left to the hook; one that stays within the API leads through this place again, no other does."""
    gateway._judge = lambda _: (302, {"Location": location.format(gateway=gateway.url)}, b"")

    assert ask("GET", "/orders?page=1").headers["Location"] == led.format(gateway=gateway.url)


def test_dead_upstream_is_told(source: FakeSource, clock: FakeClock) -> None:
    """An API that cannot be reached is a bad gateway, said in our name and without a credential."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        answer = Asking(source, Http(source="fake", host=url, live=True), clock)("GET", "/orders")

    assert answer.status_code == 502
    assert answer.headers["X-Airflow-Ephemeral"] == "refused"
    assert "no answer" in answer.text
    assert source.minted[0] not in answer.text


def test_failed_mint_is_told(ask: Asking, source: FakeSource, clock: FakeClock) -> None:
    """When there is no credential any more, each request is told why; the hook sees it as an answer."""
    ask.spec()
    source.raises.append(SourceFailed("idp.example.com: no answer in time", code="timeout", retry_after=9))
    route = json.loads(ask.spec().extra or "")
    host = ask.spec().host
    clock.advance(3_600)
    answer = requests.get(f"{host}/orders", headers={CAPABILITY: route[CAPABILITY]}, timeout=10)

    assert (answer.status_code, answer.headers["Retry-After"]) == (502, "9")
    assert "idp.example.com: no answer in time" in answer.text


@pytest.mark.parametrize("process", ["task", "trigger", "callback", "script"])
def test_where_work_runs(source: FakeSource, gateway: Gateway, clock: FakeClock, process: Process) -> None:
    """Every process in which work runs may open a place, and it serves there."""
    asking = Asking(source, Http(source="fake", host=gateway.url, live=True), clock, Caller(process=process))

    assert asking("GET", "/orders").status_code == 200


def test_not_while_dags_are_parsed(source: FakeSource, gateway: Gateway, clock: FakeClock) -> None:
    """A process that parses Dags opens nothing."""
    asking = Asking(source, Http(source="fake", host=gateway.url, live=True), clock, Caller(process="parse"))
    with pytest.raises(AccessDenied) as caught:
        asking.spec()

    assert caught.value.code == "not_live_here"
    assert source.minted == []
    assert ENDPOINT._server is None


# Signed requests


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.mark.parametrize("size", [0, 70_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_signed_bodies_arrive_whole(keys: Keys, clock: FakeClock, size: int, chunked: bool) -> None:
    """The signature covers the body, however large it is and however it comes."""
    with Gateway(Signatures(keys.known, f"{REGION}/execute-api")) as gateway:
        asking = Asking(keys, HttpSigV4(source="fake", host=gateway.url, region=REGION), clock)
        body = b"x" * size
        answer = asking("POST", "/orders", data=iter([body[:1000], body[1000:]]) if chunked and size else body)

    assert answer.json()["size"] == size


def test_expired_keys_are_minted_anew_once(keys: Keys, clock: FakeClock) -> None:
    """Keys that AWS says have expired cost one request and one mint, however young they are."""
    judge = Signatures(keys.known, f"{REGION}/execute-api")
    with Gateway(judge) as gateway:
        asking = Asking(keys, HttpSigV4(source="fake", host=gateway.url, region=REGION), clock)
        asking("GET", "/orders")
        judge.expired.add("ASIA1")
        answer = asking("POST", "/orders", data=b"again")

    assert answer.json()["size"] == 5
    assert (len(gateway.refused), len(keys.minted)) == (1, 2)


def test_own_signature_of_the_dag_is_replaced(keys: Keys, clock: FakeClock) -> None:
    """A signature is of one request: whatever came with the request is not passed on."""
    with Gateway(Signatures(keys.known, f"{REGION}/execute-api")) as gateway:
        asking = Asking(keys, HttpSigV4(source="fake", host=gateway.url, region=REGION), clock)
        answer = asking("GET", "/orders", headers={"Authorization": "x", "X-Amz-Date": "19700101T000000Z"})

    assert answer.status_code == 200
