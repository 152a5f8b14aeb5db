"""The stock hook of Redis, against a real one with ACL users."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers import installed
from tests.peers.redis import Redis
from tests.shapes.worker import SECRETS, Seen, Trust, readable, work


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hook once."""
    installed.provider("redis")
    trust = Trust(tmp_path_factory.mktemp("trust"))
    users = {"airflow": SECRETS["PASSWORD"], "iam": SECRETS["TOKEN"], "default": SECRETS["TOKEN"]}
    with Redis(trust.authority, **users) as server:
        at = {"shape": "redis", "host": "127.0.0.1", "port": server.port, "extra": {"ssl_ca_certs": trust.ca_file}}
        connections: dict[str, Any] = {
            "redis": {**at, "source": "password", "extra": {"ssl_ca_certs": trust.ca_file, "db": 3}},
            "redis_token": {**at, "source": "token", "login": "iam"},
            "redis_default": {**at, "source": "token", "login": "default"},
            "redis_wrong": {**at, "source": "wrong"},
            "redis_expired": {**at, "source": "expired", "login": "iam"},
            "redis_plain": {**at, "source": "password", "extra": {"ssl": False}},
            "redis_impostor": {**at, "source": "password", "extra": {"ssl_ca_certs": trust.strange_file}},
        }
        return work("redis", connections, home=tmp_path_factory.mktemp("worker"))


@pytest.mark.parametrize(("name", "user"), [("redis", "airflow"), ("redis_token", "iam"), ("redis_default", "default")])
def test_hook(seen: Seen, name: str, user: str) -> None:
    """Redis lets the hook in as the ACL user, over TLS even if the file is silent."""
    assert seen["hook"][name] == user


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("redis_wrong", "invalid username-password pair"),
        ("redis_expired", "invalid username-password pair"),
        ("redis_plain", "ConnectionError"),
        ("redis_impostor", "certificate verify failed"),
    ],
)
def test_refused(seen: Seen, name: str, told: str) -> None:
    """A wrong password, a connection that is not encrypted and a server that cannot prove itself fail."""
    assert told in seen["refused"][name]["told"]


def test_sensor_and_trigger(seen: Seen) -> None:
    """So does the sensor get in, and the trigger that waits for a message, whose row holds the conn_id."""
    assert seen["sensor"] is True
    assert seen["deferred"]["event"]["data"] == "hello"
    assert "'redis_conn_id': 'redis'" in seen["deferred"]["row"]


def test_hook_keeps_its_client(seen: Seen) -> None:
    """A hook that is asked twice for a client looks its connection up twice, but keeps the client of the first."""
    assert seen["lookups"] == 2
    assert seen["same_client"] is True


def test_nothing_leaks(seen: Seen) -> None:
    """No logger writes a secret, however talkative; no error, row or event holds one."""
    assert seen.leaks() == readable([seen.log]) == []
