"""The connections of data warehouses, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.reading import Problems, struct
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.live import BearerFace
from airflow_ephemeral_secrets.shapes.warehouses import SNOWFLAKE_KEYS, SNOWFLAKE_REFUSED, Databricks, Snowflake
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance, secret
from tests.shapes.test_sql import fields

TOKEN = BearerToken(token="a-token")


class TestFederated(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Snowflake:
        return Snowflake(
            source="s",
            account="acme-prod",
            login="airflow",
            warehouse="w",
            database="d",
            schema="s",
            role="r",
            region="eu-west-1",
            extra={"session_parameters": {"QUERY_TAG": "a"}, "host": "acme.privatelink.snowflakecomputing.com"},
        )


class TestAccessToken(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Snowflake:
        return Snowflake(source="s", account="acme-prod", authenticator="programmatic_access_token")


class TestLiveSnowflake(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Snowflake:
        return Snowflake(source="s", account="acme-prod", schema="s", role="r", live=True, extra={"port": 443})


def test_live_snowflake_fields() -> None:
    """The hook is told whom to ask for a token of OAuth, and proves itself with the capability."""
    route = TestLiveSnowflake.ROUTE
    made = Snowflake(source="s", account="acme", schema="public", role="r", live=True).render_live(route, secret)

    assert fields(made) == {
        "conn_type": "snowflake",
        "login": "airflow-ephemeral-secrets",
        "password": route.capability,
        "schema": "public",
        "extra": {
            "account": "acme",
            "authenticator": "oauth",
            "role": "r",
            "grant_type": "client_credentials",
            "token_endpoint": route.url,
        },
    }


def test_live_snowflake_problems() -> None:
    """What does not go with live is told when the configuration is loaded."""
    shape = Snowflake(source="s", account="a", login="l", authenticator="programmatic_access_token", live=True)

    assert [problem.partition(":")[0] for problem in shape.problems()] == ["login", "authenticator"]
    assert "127.0.0.1" in shape.notes()[0]


class TestDatabricks(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Databricks:
        return Databricks(
            source="s",
            host="dbc-1.cloud.databricks.com",
            port=443,
            extra={"http_path": "/sql/1.0/warehouses/w", "session_configuration": {"spark.a": "b"}},
        )


class TestLiveDatabricks(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Databricks:
        return Databricks(source="s", host="dbc-1.cloud.databricks.com", live=True, extra={"query_tags": "a"})


@pytest.mark.parametrize(
    ("where", "upstream"),
    [
        ({"host": "dbc.test"}, "https://dbc.test"),
        ({"host": "127.0.0.1", "port": 8080, "schema": "http"}, "http://127.0.0.1:8080"),
    ],
)
def test_live_databricks(where: dict[str, Any], upstream: str) -> None:
    """The hook asks 127.0.0.1 with the capability as its token, and from there it goes on to the workspace."""
    route = TestLiveDatabricks.ROUTE
    shape = Databricks(source="s", live=True, **where)

    assert shape.face() == BearerFace(upstream=upstream, header="Authorization", prefix="Bearer ")
    assert fields(shape.render_live(route, secret)) == {
        "conn_type": "databricks",
        "host": "127.0.0.1",
        "port": 4711,
        "schema": "http",
        "password": route.capability,
        "extra": {},
    }


@pytest.mark.parametrize("key", ["http_path", "proxies"])
def test_live_databricks_problems(key: str) -> None:
    """SQL has no live form, and a proxy would stand before 127.0.0.1."""
    (problem,) = Databricks(source="s", host="dbc.test", live=True, extra={key: "x"}).problems()

    assert problem.startswith(f"extra.{key}: does not go with live")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            Snowflake(source="s", account="acme"),
            {
                "extra": {
                    "account": "acme",
                    "authenticator": "WORKLOAD_IDENTITY",
                    "workload_identity_provider": "OIDC",
                    "token": "a-token",
                }
            },
        ),
        (
            Snowflake(
                source="s",
                account="acme",
                authenticator="programmatic_access_token",
                login="airflow",
                schema="public",
                role="r",
                extra={"proxy_host": "proxy.test"},
            ),
            {
                "login": "airflow",
                "password": "a-token",
                "schema": "public",
                "extra": {
                    "proxy_host": "proxy.test",
                    "account": "acme",
                    "authenticator": "programmatic_access_token",
                    "role": "r",
                },
            },
        ),
        (
            Databricks(source="s", host="dbc.test"),
            {"host": "dbc.test", "schema": "https", "password": "a-token", "extra": {}},
        ),
        (
            Databricks(source="s", host="127.0.0.1", port=8080, schema="http", extra={"http_path": "/p"}),
            {"host": "127.0.0.1", "port": 8080, "schema": "http", "password": "a-token", "extra": {"http_path": "/p"}},
        ),
    ],
)
def test_fields(shape: Shape, expected: dict[str, Any]) -> None:
    """A federated JWT stands where the connector reads it, another token is the password; Databricks has no login."""
    assert fields(shape.render(TOKEN, secret)) == {"conn_type": shape.__struct_config__.tag, **expected}


@pytest.mark.parametrize("schema", ["https", "http"])
@pytest.mark.parametrize(("host", "here"), [("dbc.test", False), ("127.0.0.1", True), ("127.0.0.1.test", False)])
def test_databricks_is_encrypted(host: str, here: bool, schema: Any) -> None:
    """A token leaves in the clear for this machine only."""
    found = Databricks(source="s", host=host, schema=schema).problems()

    assert found == ([] if here or schema == "https" else ["schema: is accepted for loopback hosts only"])


def test_databricks_has_no_login() -> None:
    """With a login the hook would send Basic; the shape has no such field."""
    problems = Problems()
    struct(Databricks, {"source": "s", "host": "dbc.test", "login": "token"}, "c", problems)

    assert [problem.partition(";")[0] for problem in problems] == ["c.login: unknown key"]


@pytest.mark.parametrize(("key", "reason"), SNOWFLAKE_REFUSED.items())
def test_snowflake_extra_does_not_undo_the_shape(key: str, reason: str) -> None:
    """What the shape fills in, or would prove somebody else, is not overridden in silence but a problem."""
    assert Snowflake(source="s", account="acme", extra={key: "x"}).problems() == [f"extra.{key}: {reason}"]
    assert key not in SNOWFLAKE_KEYS


@pytest.mark.parametrize("key", ["lease_id", "extra__snowflake__private_key_file", "extra__snowflake__token"])
def test_snowflake_extra_holds_what_the_hook_takes(key: str) -> None:
    """A key that the hook does not know, or knows by an old name, is a problem."""
    (problem,) = Snowflake(source="s", account="acme", extra={key: "x"}).problems()

    assert problem.startswith(f"extra.{key}: is not taken by this shape; ")


@pytest.mark.parametrize("account", ["acme/x", "acme.test:443", "a b", "{token}", "", "acme\n"])
def test_snowflake_account_is_a_name(account: str) -> None:
    """The account becomes part of a URL."""
    problems = Problems()
    struct(Snowflake, {"source": "s", "account": account}, "c", problems)

    assert [problem.partition(",")[0] for problem in problems] == ["c.account: expected letters"]
