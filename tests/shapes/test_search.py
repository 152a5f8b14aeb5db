"""The connections of search engines, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.live import BearerFace
from airflow_ephemeral_secrets.shapes.search import Elasticsearch, Opensearch
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance, secret
from tests.shapes.test_sql import fields

TOKEN = BearerToken(token="a-token")
LOGIN = BasicCredential(username="airflow", password="a-password")
TLS = {"use_ssl": True, "verify_certs": True}


class TestElasticsearch(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Elasticsearch:
        return Elasticsearch(
            source="s", host="es.test", header="api_key", extra={"headers": {"X-Team": "a"}, "ca_certs": "/ca.pem"}
        )


class TestLiveElasticsearch(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Elasticsearch:
        return Elasticsearch(source="s", host="es.test", live=True, extra={"headers": {"X-Team": "a"}, "fetch_size": 9})


@pytest.mark.parametrize(("header", "prefix"), [("bearer_auth", "Bearer "), ("api_key", "ApiKey ")])
def test_live_elasticsearch(header: Any, prefix: str) -> None:
    """The hook asks 127.0.0.1 with the capability as its token, and from there it goes on as configured."""
    route = TestLiveElasticsearch.ROUTE
    shape = Elasticsearch(source="s", host="es.test", header=header, live=True, extra={"request_timeout": 5})

    assert shape.face() == BearerFace(upstream="https://es.test:9200", header="Authorization", prefix=prefix)
    assert fields(shape.render_live(route, secret)) == {
        "conn_type": "elasticsearch",
        "host": "127.0.0.1",
        "port": 4711,
        "schema": "http",
        "extra": {"request_timeout": 5, "bearer_auth": route.capability},
    }


@pytest.mark.parametrize("key", ["ca_certs", "verify_certs", "sniff_on_start"])
def test_live_elasticsearch_problems(key: str) -> None:
    """What is for the way to the server, or would lead around 127.0.0.1, is a problem at load."""
    (problem,) = Elasticsearch(source="s", host="es.test", live=True, extra={key: True}).problems()

    assert problem.startswith(f"extra.{key}: does not go with live")


class TestOpensearch(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Opensearch:
        return Opensearch(
            source="s", host="os.test", port=443, extra={"headers": {"X-Team": "a"}, "timeout": 5, "use_ssl": True}
        )


@pytest.mark.parametrize(
    ("shape", "credential", "expected"),
    [
        (
            Elasticsearch(source="s", host="es.test"),
            TOKEN,
            {"port": 9200, "schema": "https", "extra": {"bearer_auth": "a-token"}},
        ),
        (
            Elasticsearch(source="s", host="es.test", header="api_key", extra={"request_timeout": 5}),
            TOKEN,
            {"port": 9200, "schema": "https", "extra": {"request_timeout": 5, "api_key": "a-token"}},
        ),
        (
            Elasticsearch(source="s", host="es.test", port=443),
            LOGIN,
            {"port": 443, "schema": "https", "login": "airflow", "password": "a-password", "extra": {}},
        ),
        (
            Opensearch(source="s", host="es.test", extra={"headers": {"X-Team": "a"}}),
            TOKEN,
            {"port": 9200, "extra": {**TLS, "headers": {"X-Team": "a", "Authorization": "Bearer a-token"}}},
        ),
        (
            Opensearch(source="s", host="es.test", extra={"verify_certs": False}),
            LOGIN,
            {
                "port": 9200,
                "login": "airflow",
                "password": "a-password",
                "extra": {"use_ssl": True, "verify_certs": False},
            },
        ),
    ],
)
def test_fields(shape: Shape, credential: Credential, expected: dict[str, Any]) -> None:
    """A token stands where the client reads it, a password where the hook does; TLS is on, and nothing is ours."""
    conn_type = shape.__struct_config__.tag

    assert fields(shape.render(credential, secret)) == {"conn_type": conn_type, "host": "es.test", **expected}


@pytest.mark.parametrize(("host", "here"), [("es.test", False), ("localhost", True), ("::1", True)])
def test_is_encrypted(host: str, here: bool) -> None:
    """A secret leaves in the clear for this machine only."""
    plain = [
        *Elasticsearch(source="s", host=host, schema="http").problems(),
        *Opensearch(source="s", host=host, extra={"use_ssl": False}).problems(),
        *Opensearch(source="s", host=host, extra={"use_ssl": "false"}).problems(),
    ]
    paths = ["schema", "extra.use_ssl", "extra.use_ssl"]

    assert plain == ([] if here else [f"{path}: is accepted for loopback hosts only" for path in paths])


@pytest.mark.parametrize("kind", [Elasticsearch, Opensearch])
@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"authorization": "Basic x"}, "extra.headers.authorization: is filled in by this shape"),
        ("X-Team: a", "extra.headers: expected a mapping"),
    ],
)
def test_headers_leave_the_token_alone(kind: type[Any], headers: Any, problem: str) -> None:
    """A header that would stand beside the token or in its place is a problem."""
    assert kind(source="s", host="es.test", extra={"headers": headers}).problems() == [problem]
