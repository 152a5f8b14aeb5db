"""The connections of search engines, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, BearerFace, Route, SigningFace
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


DOMAIN = "search-orders.eu-west-1.es.amazonaws.com"
ROUTE = Route("http://127.0.0.1:4711", "a-capability")


class TestLiveElasticsearch(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Elasticsearch:
        return Elasticsearch(source="s", host="es.test", live=True, extra={"headers": {"X-Team": "a"}})


class TestSigningOpensearch(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Opensearch:
        return Opensearch(source="s", host=DOMAIN, port=443, service="es", extra={"url_prefix": "/_dashboards"})


@pytest.mark.parametrize(
    ("shape", "face"),
    [
        (Elasticsearch(source="s", host="es.test"), None),
        (
            Elasticsearch(source="s", host="es.test", port=443, live=True),
            BearerFace(upstream="https://es.test:443", header="Authorization", prefix="Bearer "),
        ),
        (
            Elasticsearch(source="s", host="::1", schema="http", header="api_key", live=True),
            BearerFace(upstream="http://[::1]:9200", header="Authorization", prefix="ApiKey "),
        ),
        (Opensearch(source="s", host="os.test"), None),
        (
            Opensearch(source="s", host="localhost", live=True, extra={"use_ssl": False}),
            BearerFace(upstream="http://localhost:9200", header="Authorization", prefix="Bearer "),
        ),
        (
            Opensearch(source="s", host=DOMAIN, port=443, service="es"),
            SigningFace(upstream=f"https://{DOMAIN}:443", service="es", region="eu-west-1"),
        ),
        (
            Opensearch(source="s", host="os.test", port=443, service="aoss", region="us-east-1"),
            SigningFace(upstream="https://os.test:443", service="aoss", region="us-east-1"),
        ),
    ],
)
def test_asks_for_a_face(shape: Shape, face: Any) -> None:
    """A live one leads through this process with a token, one for AWS with signatures; a static one needs nothing."""
    assert shape.problems() == []
    assert shape.face() == face


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            Elasticsearch(source="s", host="es.test", live=True, extra={"headers": {"X-Team": "a"}, "fetch_size": 5}),
            {"schema": "http", "extra": {"fetch_size": 5, "headers": {"X-Team": "a", CAPABILITY: "a-capability"}}},
        ),
        (
            Opensearch(source="s", host=DOMAIN, service="es", extra={"timeout": 5}),
            {
                "extra": {
                    "use_ssl": False,
                    "verify_certs": False,
                    "timeout": 5,
                    "headers": {CAPABILITY: "a-capability"},
                }
            },
        ),
    ],
)
def test_live_fields(shape: Shape, expected: dict[str, Any]) -> None:
    """The hook is led to the route, without TLS, with the capability in a header."""
    led = {"conn_type": shape.__struct_config__.tag, "host": "127.0.0.1", "port": 4711}

    assert fields(shape.render_live(ROUTE, secret)) == {**led, **expected}


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (
            Elasticsearch(source="s", host="es.test", live=True, extra={"ca_certs": "/ca.pem"}),
            "extra.ca_certs: does not go with live; network.ca_file is for what goes on from here",
        ),
        (
            Opensearch(source="s", host=DOMAIN, service="es", extra={"verify_certs": False}),
            "extra.verify_certs: does not go with live; network.ca_file is for what goes on from here",
        ),
        (
            Opensearch(source="s", host="os.test", service="es"),
            "region: required, for the host does not name one",
        ),
    ],
)
def test_what_cannot_be_live_is_told(shape: Shape, problem: str) -> None:
    """What would be for the way to loopback, and a signature without a region, are problems of the configuration."""
    assert shape.problems() == [problem]
