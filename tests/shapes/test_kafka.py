"""The ``kafka`` connection."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
import trustme

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.live import kafka
from airflow_ephemeral_secrets.shapes.kafka import Kafka
from tests.peers.installed import provider
from tests.peers.kafka import TOPIC, KafkaBroker
from tests.peers.tls import serving
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance, secret
from tests.shapes.worker import SECRETS, Seen, work

BROKERS = "b-1.kafka.test:9096,b-2.kafka.test:9096"
LOGIN = BasicCredential(username="a-login", password="a-password")


FILLED_IN = (
    "bootstrap.servers",
    "metadata.broker.list",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
)
ANOTHER_IDENTITY = (
    "enable.sasl.oauthbearer.unsecure.jwt",
    "oauth_cb",
)


class TestKafka(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Kafka:
        return Kafka(
            source="s",
            bootstrap_servers=BROKERS,
            mechanism="SCRAM-SHA-512",
            username="airflow",
            extra={"group.id": "airflow", "ssl.ca.location": "/etc/ssl/kafka.pem"},
        )


class TestFetchingKafka(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Kafka:
        extra = {"sasl.oauthbearer.extensions": "logicalCluster=lkc-1", "group.id": "g"}
        return Kafka(source="s", bootstrap_servers=BROKERS, live=True, extra=extra)


class TestCallingKafka(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Kafka:
        return Kafka(source="s", bootstrap_servers=BROKERS, live="oauth_cb")


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (
            True,
            {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.client.id": "airflow-ephemeral-secrets",
                "sasl.oauthbearer.client.secret": TestFetchingKafka.ROUTE.capability,
                "sasl.oauthbearer.token.endpoint.url": TestFetchingKafka.ROUTE.url,
            },
        ),
        (
            "oauth_cb",
            {
                "oauth_cb": f"{kafka.__name__}.{kafka.token.__name__}",
                "sasl.oauthbearer.config": f"lease={TestFetchingKafka.ROUTE.capability}",
            },
        ),
    ],
)
def test_live_fields(live: Any, expected: dict[str, Any]) -> None:
    """librdkafka is told whom to ask for tokens, or whom to call."""
    made = Kafka(source="s", bootstrap_servers=BROKERS, live=live).render_live(TestFetchingKafka.ROUTE, secret)

    assert json.loads(made.extra or "") == {
        "bootstrap.servers": BROKERS,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        **expected,
    }


def test_live_takes_tokens_only() -> None:
    """A user name and a password have no live form, and no placeholder to fill in."""
    live = Kafka(source="s", bootstrap_servers=BROKERS, live=True)

    assert live.accepted() == (BearerToken,)
    assert live.texts() == {}
    assert "callback_allowlist" in Kafka(source="s", bootstrap_servers=BROKERS, live="oauth_cb").notes()[0]


@pytest.mark.parametrize(
    ("fields", "credential", "expected"),
    [
        ({}, LOGIN, {"sasl.mechanism": "PLAIN", "sasl.username": "a-login", "sasl.password": "a-password"}),
        (
            {"username": "$token", "extra": {"group.id": "g"}},
            BearerToken(token="a-token"),
            {"group.id": "g", "sasl.mechanism": "PLAIN", "sasl.username": "$token", "sasl.password": "a-token"},
        ),
        (
            {"mechanism": "SCRAM-SHA-256"},
            LOGIN,
            {"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "a-login", "sasl.password": "a-password"},
        ),
    ],
)
def test_fields(fields: dict[str, Any], credential: BasicCredential | BearerToken, expected: dict[str, Any]) -> None:
    """The extra is librdkafka's configuration, and nothing else stands in the connection."""
    made = Kafka(source="s", bootstrap_servers=BROKERS, **fields).render(credential, secret).fields()

    assert json.loads(made.pop("extra")) == {
        "bootstrap.servers": BROKERS,
        "security.protocol": "SASL_SSL",
        **expected,
    }
    assert {name: value for name, value in made.items() if value is not None} == {"conn_type": "kafka"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        *(({"extra": {key: "x"}}, f"extra.{key}") for key in (*FILLED_IN, *ANOTHER_IDENTITY)),
        ({"extra": {"sasl.oauthbearer.client.id": "x"}}, "extra.sasl.oauthbearer.client.id"),
        ({"extra": {"sasl.kerberos.keytab": "/k"}}, "extra.sasl.kerberos.keytab"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "security_protocol"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "bootstrap_servers": "127.0.0.1:9092,kafka.test:9092"},
            "security_protocol",
        ),
        ({"live": True, "username": "airflow"}, "username"),
        ({"live": "oauth_cb", "mechanism": "SCRAM-SHA-256"}, "mechanism"),
        ({"live": True, "extra": {"sasl.oauthbearer.client.id": "x"}}, "extra.sasl.oauthbearer.client.id"),
        ({"live": "oauth_cb", "extra": {"sasl.oauthbearer.scope": "x"}}, "extra.sasl.oauthbearer.scope"),
        ({"extra": {"sasl.oauthbearer.scope": "x"}}, "extra.sasl.oauthbearer.scope"),
        (
            {"live": True, "bootstrap_servers": "b-1.demo.abc.c2.kafka.us-east-1.amazonaws.com:9098"},
            "bootstrap_servers",
        ),
        (
            {"bootstrap_servers": "bootstrap.c.europe-west1.managedkafka.p.cloud.goog:9092"},
            "bootstrap_servers",
        ),
    ],
)
def test_problems(fields: dict[str, Any], path: str) -> None:
    """What stands twice, another identity than ours, and a password sent in the clear are problems at load."""
    shape = Kafka(source="s", **{"bootstrap_servers": BROKERS, **fields})

    assert [problem.partition(":")[0] for problem in shape.problems()] == [path]


@pytest.mark.parametrize("servers", ["127.0.0.1:9092", "localhost:9092,[::1]:9093"])
def test_loopback_needs_no_tls(servers: str) -> None:
    """On this very host nobody listens in."""
    assert Kafka(source="s", bootstrap_servers=servers, security_protocol="SASL_PLAINTEXT").problems() == []


def test_username_may_hold_placeholders() -> None:
    """A user name that the credential cannot fill is found at load."""
    assert Kafka(source="s", bootstrap_servers=BROKERS).texts() == {"username": "{username}"}


class Ran(NamedTuple):
    """What hooks found, and who logged in at the broker."""

    seen: Seen
    proven: set[tuple[str, str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("apache.kafka")
    home = tmp_path_factory.mktemp("worker")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    logins = {"airflow": SECRETS["PASSWORD"], "$token": SECRETS["TOKEN"]}
    with KafkaBroker(logins, tls=serving(authority)) as tls, KafkaBroker(logins) as plain:
        extra = {"extra": {"ssl.ca.location": str(home / "ca.pem"), "socket.timeout.ms": 5000}}
        within = {"shape": "kafka", "bootstrap_servers": f"127.0.0.1:{tls.port}", **extra}
        beside = {
            "shape": "kafka",
            "bootstrap_servers": f"127.0.0.1:{plain.port}",
            "security_protocol": "SASL_PLAINTEXT",
        }
        seen = work(
            "kafka",
            {
                "plain": {"source": "password", **within},
                "token": {"source": "token", "username": "$token", **within},
                "sha256": {"source": "password", "mechanism": "SCRAM-SHA-256", **beside},
                "sha512": {"source": "password", "mechanism": "SCRAM-SHA-512", **within},
                "wrong": {"source": "wrong", **within},
                "wrong_token": {"source": "expired", "username": "$token", **within},
                "wrong_sha256": {"source": "wrong", "mechanism": "SCRAM-SHA-256", **beside},
            },
            home=home,
        )
        return Ran(seen, {*tls.proven, *plain.proven})


@pytest.mark.parametrize("way", ["plain", "token", "sha256", "sha512", "producer"])
def test_hook(ran: Ran, way: str) -> None:
    """The stock hooks log in, over TLS or on this host, and are told what topics there are."""
    assert ran.seen[way] == [TOPIC]


def test_who_logged_in(ran: Ran) -> None:
    """The broker saw each user by the mechanism of the file."""
    assert ran.proven == {
        ("airflow", "PLAIN"),
        ("$token", "PLAIN"),
        ("airflow", "SCRAM-SHA-256"),
        ("airflow", "SCRAM-SHA-512"),
    }


@pytest.mark.parametrize("way", ["wrong", "wrong_token", "wrong_sha256"])
def test_another_password_is_refused(ran: Ran, way: str) -> None:
    """The broker looks at the password."""
    assert ran.seen[way]["error"] == "KafkaException"


def test_the_hook_keeps_what_it_read(ran: Ran) -> None:
    """A hook asks for its connection once."""
    assert ran.seen["reads"] == 1


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a secret, however talkative, and no error tells one."""
    assert ran.seen.leaks() == []
