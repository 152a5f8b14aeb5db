"""The token endpoint on loopback: who gets a token, how long it lives, and what is said instead."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, SourceFailed
from airflow_ephemeral_secrets.live.endpoint import Endpoint
from airflow_ephemeral_secrets.live.supply import Supply
from airflow_ephemeral_secrets.live.token_desk import TokenDesk
from airflow_ephemeral_secrets.shapes.live import TokenFace
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.resolving import CALLER, resolver

FACE = TokenFace()
GRANT = {"grant_type": "client_credentials"}


class Asking:
    """Ask a desk as clients do, each over its own connection."""

    def __init__(self, source: FakeSource, clock: FakeClock, face: TokenFace = FACE) -> None:
        self.endpoint = Endpoint()
        made = resolver(clock=clock, source=source)
        supply = Supply(made, made.config.connections.match("api"), "api", CALLER)
        self.route = self.endpoint.desk("key", lambda capability: TokenDesk(face, capability, supply, clock))
        self.client = requests.Session()
        self.client.trust_env = False

    def __call__(self, *, other: bool = False, **how: Any) -> requests.Response:
        ask = requests.post if other else self.client.post
        return ask(self.route.url, **(how or self.right()), timeout=10)  # type: ignore[no-any-return]

    def right(self) -> dict[str, Any]:
        return {"data": GRANT, "auth": ("anybody", self.route.capability)}


@pytest.fixture
def source() -> FakeSource:
    return FakeSource(lives=3_600)


@pytest.fixture
def ask(source: FakeSource, clock: FakeClock) -> Iterator[Asking]:
    asking = Asking(source, clock)
    yield asking
    asking.endpoint.close()


def basic(word: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'anybody:{word}'.encode()).decode()}"}


WAYS: dict[str, Any] = {
    "basic": lambda word: {"data": GRANT, "headers": basic(word)},
    "post": lambda word: {"data": {**GRANT, "client_id": "x", "client_secret": word}},
    "json": lambda word: {"json": {**GRANT, "client_id": "x", "client_secret": word}},
    "refresh": lambda word: {"data": {"grant_type": "refresh_token", "refresh_token": word}, "headers": basic(word)},
}


@pytest.mark.parametrize("way", WAYS)
def test_grants(ask: Asking, source: FakeSource, way: str) -> None:
    """A client proves itself in the header or in the body, which is a form or JSON, and gets what RFC 6749 says."""
    answer = ask(**WAYS[way](ask.route.capability))

    assert answer.json() == {"access_token": source.minted[0], "token_type": "Bearer", "expires_in": 3_600}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", ["", "wrong", "\u00fc", "{capability}x"])
def test_refuses_whoever_has_another_secret(ask: Asking, source: FakeSource, way: str, word: str) -> None:
    """Without the capability nobody gets a token, and nothing is minted for him."""
    answer = ask(**WAYS[way](word.replace("{capability}", ask.route.capability)))

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert source.minted == []


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"data": {}}, "invalid_client"),
        ({"data": GRANT, "headers": {"Authorization": "Basic %%%"}}, "invalid_client"),
        ({"data": GRANT, "headers": {"Authorization": "Bearer {capability}"}}, "invalid_client"),
        ({"json": {**GRANT, "client_secret": ["{capability}"]}}, "invalid_client"),
        ({"data": '{"client_secret": "\\ud800"}', "headers": {"Content-Type": "application/json"}}, "invalid_client"),
        ({"data": {**GRANT, "refresh_token": "wrong", "client_secret": "{capability}"}}, "invalid_client"),
        ({"data": {"client_secret": "{capability}"}}, "unsupported_grant_type"),
        ({"data": {"grant_type": "password", "client_secret": "{capability}"}}, "unsupported_grant_type"),
        ({"json": {"grant_type": ["x"], "client_secret": "{capability}"}}, "unsupported_grant_type"),
        ({"json": [GRANT]}, "invalid_request"),
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, "invalid_request"),
        ({"data": "[" * 60_000, "headers": {"Content-Type": "application/json; x"}}, "invalid_request"),
        ({"data": b"\xff"}, "invalid_request"),
        ({"data": "x=1&" * 1_000}, "invalid_request"),
        ({"data": "x" * 70_000}, "invalid_request"),
    ],
)
def test_refuses_what_is_no_such_request(ask: Asking, source: FakeSource, how: dict[str, Any], error: str) -> None:
    """Whatever else comes is answered with an error of RFC 6749, and the next client is served."""
    written = json.dumps(how, default=repr).replace("{capability}", ask.route.capability)
    answer = ask(**(json.loads(written) if "{capability}" in str(how) else how))

    assert (answer.status_code, answer.json()["error"]) == (401 if error == "invalid_client" else 400, error)
    assert source.minted == []
    assert ask().ok


def test_only_post(ask: Asking) -> None:
    """A token is not to be had by a URL alone."""
    assert requests.get(ask.route.url, timeout=10).json()["error"] == "invalid_request"


def test_tells_what_is_left(ask: Asking, source: FakeSource, clock: FakeClock) -> None:
    """A client that asks later is told how long the token still lives, in whole seconds, never more."""
    ask()
    clock.advance(1_000.5)

    assert ask(other=True).json()["expires_in"] == 2_599
    assert len(source.minted) == 1


def test_never_hands_out_a_dead_token(ask: Asking, source: FakeSource, clock: FakeClock) -> None:
    """However long a client asks, each answer lives, and little is minted for many questions."""
    for _ in range(200):
        assert ask(other=True).json()["expires_in"] > 0
        clock.advance(90)

    assert 5 <= len(source.minted) <= 10


def test_client_that_comes_back_gets_a_new_one_once(ask: Asking, source: FakeSource, clock: FakeClock) -> None:
    """
    Whoever asks again over its connection, with a token that is far from its end, had it rejected.

    It costs one mint, and no second one until that token has settled: another would fare no better.
    """
    ask()
    clock.advance(60)
    answers = [ask().json()["access_token"] for _ in range(3)]

    assert answers == [source.minted[1]] * 3
    assert len(source.minted) == 2


def test_new_clients_get_what_is_there(ask: Asking, source: FakeSource, clock: FakeClock) -> None:
    """Many clients that each ask for the first time share one token."""
    for _ in range(20):
        ask(other=True)
        clock.advance(60)

    assert len(source.minted) == 1


def test_token_that_is_kept_by_the_process(source: FakeSource, clock: FakeClock) -> None:
    """Where one client keeps the token for all of the process, whoever asks again early had it rejected."""
    ask = Asking(source, clock, TokenFace(kept=True))
    try:
        first = [ask(other=True).json()["access_token"] for _ in range(2)]
        clock.advance(60)
        then = [ask(other=True).json()["access_token"] for _ in range(2)]
    finally:
        ask.endpoint.close()

    assert first + then == [source.minted[0]] * 2 + [source.minted[1]] * 2


def test_client_that_renews_in_time_is_no_sign(ask: Asking, source: FakeSource, clock: FakeClock) -> None:
    """A client that asks again shortly before the end, as google-auth then does each time, was not rejected."""
    ask()
    clock.advance(3_600 - 225)
    source.raises.append(SourceFailed("idp.example.com: no answer", code="timeout"))

    assert [ask().json()["access_token"] for _ in range(3)] == [source.minted[0]] * 3


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (SourceFailed('idp "x": no answer', code="timeout", retry_after=9), 503, "temporarily_unavailable"),
        (AccessDenied("the rule of \u00fcs says no", code="denied"), 403, "access_denied"),
    ],
)
def test_says_why_there_is_none(
    ask: Asking, source: FakeSource, error: EphemeralSecretsError, status: int, said: str
) -> None:
    """A mint that fails is an error of the endpoint, with our reason in the characters that RFC 6749 allows."""
    source.raises.append(error)
    answer = ask()

    assert (answer.status_code, answer.json()["error"]) == (status, said)
    assert answer.json()["error_description"] == error.message.replace('"', "'").replace("\u00fc", "?")
    assert answer.headers.get("Retry-After") == ("9" if status == 503 else None)
