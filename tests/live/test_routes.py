"""What is opened for a live shape, and what of it is masked."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import requests

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.live import kafka
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.live.routes import open_route
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.kafka import Kafka
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.resolving import CALLER, resolver


def settings(made: Resolver, masked: list[Masks], caller: Caller = CALLER) -> dict[str, Any]:
    """Look the connection up: what librdkafka is told."""
    made._open_route, made._mask = open_route, masked.append
    found = made.connection("api", caller)
    assert found
    return dict(json.loads(found.extra or ""))


def shape(live: Any) -> Kafka:
    return Kafka(source="fake", bootstrap_servers="127.0.0.1:9092", live=live)


def test_callback_gives_what_lives(source: FakeSource, clock: FakeClock) -> None:
    """The function that librdkafka calls gives a living token and its end, of a lookup in this process only."""
    told = settings(resolver(source=source, clock=clock, shape=shape("oauth_cb")), [])
    first = kafka.token(told["sasl.oauthbearer.config"])
    clock.advance(source.lives - 10)
    second = kafka.token(told["sasl.oauthbearer.config"])

    assert first == (source.minted[0], clock.wall + 10)
    assert second == (source.minted[1], clock.wall + source.lives)
    with pytest.raises(AccessDenied) as caught:
        kafka.token("lease=another")
    assert caught.value.code == "not_live_here"
    assert ENDPOINT._server is None


@pytest.mark.parametrize("live", [True, "oauth_cb"])
def test_same_request_has_the_same_connection(source: FakeSource, live: Any) -> None:
    """Whoever looks a connection up again gets the same bytes."""
    made = resolver(source=source, shape=shape(live))

    assert settings(made, []) == settings(made, [])


@pytest.mark.parametrize("live", [True, "oauth_cb"])
def test_each_caller_has_a_connection_of_its_own(source: FakeSource, live: Any) -> None:
    """Where one lease serves two triggers, each has a place of its own, which knows whom to name in the audit."""
    made = resolver(source=source, shape=shape(live))
    key = "sasl.oauthbearer.config" if live == "oauth_cb" else "sasl.oauthbearer.client.secret"
    other = msgspec.structs.replace(CALLER, task_id="another_task")

    assert settings(made, [])[key] != settings(made, [], other)[key]
    assert len(source.minted) == 1


@pytest.mark.parametrize("live", [True, "oauth_cb"])
def test_what_a_hook_gets_to_see_is_masked(source: FakeSource, clock: FakeClock, live: Any) -> None:
    """Each token is handed to Airflow's masker before the hook has it, with the moment from which it is dead."""
    masked: list[Masks] = []
    told = settings(resolver(source=source, clock=clock, shape=shape(live)), masked)
    assert masked == []
    if live is True:
        secret = {"client_secret": told["sasl.oauthbearer.client.secret"], "grant_type": "client_credentials"}
        requests.post(told["sasl.oauthbearer.token.endpoint.url"], data=secret, timeout=10)
    else:
        kafka.token(told["sasl.oauthbearer.config"])

    assert [(it.forms, it.until) for it in masked] == [((source.minted[0],), clock.boot + source.lives)]
