"""The ``redis`` connection, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.redis import Redis
from tests.shapes.conformance import ShapeConformance, secret
from tests.shapes.test_sql import fields


class TestRedis(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Redis:
        return Redis(source="s", host="redis.test", port=6380, login="airflow", extra={"db": 3, "ssl_ca_certs": "/ca"})


@pytest.mark.parametrize(
    ("shape", "credential", "expected"),
    [
        (
            Redis(source="s", host="redis.test", login="default"),
            BearerToken(token="a-token"),
            {"port": 6379, "login": "default", "password": "a-token", "extra": {"ssl": True}},
        ),
        (
            Redis(source="s", host="redis.test", port=6380, extra={"ssl": False, "db": 3}),
            BasicCredential(username="airflow", password="a-password"),
            {"port": 6380, "login": "airflow", "password": "a-password", "extra": {"ssl": False, "db": 3}},
        ),
    ],
)
def test_fields(shape: Redis, credential: Credential, expected: dict[str, Any]) -> None:
    """The secret is the password, TLS is on unless the file says otherwise, and the extra holds nothing of ours."""
    assert fields(shape.render(credential, secret)) == {"conn_type": "redis", "host": "redis.test", **expected}
