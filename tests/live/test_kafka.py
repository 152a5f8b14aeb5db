"""librdkafka, which fetches its tokens from the asking process, or calls this package for them."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.live.gateways import Gateway
from tests.live.issuer import Issuer
from tests.peers.installed import provider
from tests.peers.kafka import TOPIC, KafkaBroker
from tests.shapes.worker import Seen, work

LEEWAY, FOR = 10, 16
"""librdkafka looks once a second whether to renew a token; brokers of Apache's allow for clocks 30 seconds apart."""
CLIENTS = ("admin", "producer", "consumer")


class Ran(NamedTuple):
    """What the worker saw, and what the issuer and the broker saw of it."""

    seen: Seen
    issuer: Issuer
    proven: list[tuple[str, str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("apache.kafka")
    issuer = Issuer(leeway=LEEWAY)
    with Gateway(issuer) as gateway, KafkaBroker({}, ends=issuer.ends) as broker:
        recipe = {
            "source": "short",
            "shape": "kafka",
            "bootstrap_servers": f"127.0.0.1:{broker.port}",
            "security_protocol": "SASL_PLAINTEXT",
            "extra": {"group.id": "g"},
        }
        seen = work(
            "kafka_live",
            {
                "fetched": {**recipe, "live": True},
                "called": {**recipe, "live": "oauth_cb"},
                "opaque": {**recipe, "live": True, "source": "opaque"},
                "stranger": {**recipe, "live": "oauth_cb", "source": "opaque"},
            },
            given={"opaque": "an-opaque-token"},
            sources={"short": issuer.source(gateway)},
            home=tmp_path_factory.mktemp("worker"),
            FOR=str(FOR),
            http_proxy="http://127.0.0.1:1",
            NO_PROXY="internal.example.com",
            AIRFLOW__APACHE_KAFKA__CALLBACK_ALLOWLIST="airflow_ephemeral_secrets.live.kafka.token",
        )
    return Ran(seen, issuer, broker.proven)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", ["fetched", "called"])
def test_client_outlives_its_tokens(ran: Ran, way: str, client: str) -> None:
    """A client that was made once works through more than three lifetimes of its tokens, without a failure."""
    found = ran.seen["outlived"][f"{way} {client}"]

    assert found
    assert [topics for topics in found if topics != [TOPIC]] == []


def test_each_token_was_good(ran: Ran) -> None:
    """The broker let in whoever came, again and again, by OAUTHBEARER; all clients shared a few tokens."""
    assert set(ran.issuer.refused) == {"an-opaque-token"}
    assert len(ran.proven) > 3 * 2 * len(CLIENTS)
    assert {mechanism for _, mechanism in ran.proven} == {"OAUTHBEARER"}
    assert len(ran.issuer.granted) > 3
    assert ran.issuer.wasted <= 0


def test_connection_is_read_once(ran: Ran) -> None:
    """Each client asks for its connection once."""
    assert ran.seen["reads"] == len(CLIENTS)


def test_opaque_tokens_are_not_fetched(ran: Ran) -> None:
    """librdkafka takes JWT only when it fetches; no such token reaches a broker."""
    assert ran.seen["opaque"]["error"] == "KafkaException"


def test_another_token_is_refused(ran: Ran) -> None:
    """The broker looks at the token; one of any form reaches it by the callback."""
    assert ran.seen["stranger"]["error"] == "KafkaException"
    assert "an-opaque-token" in ran.issuer.refused


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a token, however talkative, and no error tells one."""
    assert ran.seen.leaks() == [token for token in ran.issuer.granted if token in ran.seen.log] == []
