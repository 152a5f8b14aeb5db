"""The ``airbyte`` connection, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets.shapes.airbyte import Airbyte
from tests.shapes.conformance import LiveShapeConformance, secret
from tests.shapes.test_sql import fields

HOST = "https://api.airbyte.com/v1/"


class TestAirbyte(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Airbyte:
        return Airbyte(source="s", host=HOST, extra={"timeout": 30, "proxies": {"https": "http://proxy.test:3128"}})


def test_fields() -> None:
    """The client asks the API itself, and for its tokens a place of ours, by a capability."""
    route = TestAirbyte.ROUTE

    assert fields(Airbyte(source="s", host=HOST, extra={"timeout": 30}).render_live(route, secret)) == {
        "conn_type": "airbyte",
        "host": HOST,
        "login": "airflow-ephemeral-secrets",
        "password": route.capability,
        "schema": route.url,
        "extra": {"timeout": 30},
    }


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"headers": {}}, "extra.headers"),
        ({"proxies": "http://proxy.test:3128"}, "extra.proxies"),
        ({"proxies": {"http": "http://proxy.test:3128"}}, "extra.proxies"),
    ],
)
def test_problems(extra: dict[str, Any], path: str) -> None:
    """What the hook does not read, and a proxy that would get the capability, are problems at load."""
    assert [it.partition(":")[0] for it in Airbyte(source="s", host=HOST, extra=extra).problems()] == [path]
