"""The ``http_sigv4`` shape, and the live form of ``http``: what they ask for, what they refuse, what the hook gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.shapes.http_sigv4 import HttpSigV4
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, BearerFace, Route, SigningFace
from tests.shapes.conformance import LiveShapeConformance

API = "https://abc.execute-api.eu-west-1.amazonaws.com/prod"
ROUTE = Route("http://127.0.0.1:4711", "a-capability")
EXTRA = {"X-A": "text", "X-B": SecretName("key")}


def secret(name: SecretName) -> str:
    return f"secret-of-{name.secret}"


@pytest.mark.parametrize(
    "shape", [HttpSigV4(source="s", host=API, headers=EXTRA), Http(source="s", host=API, live=True, headers=EXTRA)]
)
def test_connection_leads_to_the_route(shape: Shape) -> None:
    """The hook is led to the route and nowhere else; what must be masked is listed, the secret headers too."""
    spec = shape.render_live(ROUTE, secret)

    assert (spec.conn_type, spec.host, spec.login, spec.password) == ("http", ROUTE.url, None, None)
    assert json.loads(spec.extra or "") == {
        "X-A": "text",
        "X-B": "secret-of-key",
        CAPABILITY: "a-capability",
        "trust_env": False,
    }
    assert {"a-capability", "secret-of-key"} <= set(spec.secrets)


@pytest.mark.parametrize(
    ("shape", "face"),
    [
        (HttpSigV4(source="s", host=API), SigningFace(upstream=API, service="execute-api", region="eu-west-1")),
        (
            HttpSigV4(source="s", host="https://search.example.com", service="es", region="us-gov-west-1"),
            SigningFace(upstream="https://search.example.com", service="es", region="us-gov-west-1"),
        ),
        (Http(source="s", host=API), None),
        (Http(source="s", host=API, live=True), BearerFace(upstream=API, header="Authorization", prefix="Bearer ")),
        (
            Http(source="s", host="api.example.com", port=8443, live=True, header="X-Key", prefix=""),
            BearerFace(upstream="https://api.example.com:8443", header="X-Key", prefix=""),
        ),
    ],
)
def test_asks_for_a_face(shape: Shape, face: Any) -> None:
    """What is needed on loopback is said by the configuration alone; a static form needs nothing."""
    assert shape.problems() == []
    assert shape.face() == face


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (HttpSigV4(source="s", host="https://api.example.com"), "region: required, for the host does not name one"),
        (HttpSigV4(source="s", host=API, extra={"proxies": {}}), "extra.proxies: does not go with live"),
        (HttpSigV4(source="s", host=API, extra={"X-Own": "1"}), "extra.X-Own: goes into headers"),
        (Http(source="s", host=API, live=True, extra={"verify": False}), "extra.verify: does not go with live"),
        (Http(source="s", host=API, live=True, extra={"trust_env": True}), "extra.trust_env: does not go with live"),
        (Http(source="s", host=API, live=True, headers={"X-A": "{token}"}), "headers.X-A: would be frozen"),
    ],
)
def test_what_cannot_be_live_is_told(shape: Shape, problem: str) -> None:
    """What would lead the hook past the route, or freeze a token, is a problem of the configuration."""
    (found,) = shape.problems()

    assert found.startswith(problem)


def test_has_no_static_form() -> None:
    """A signature cannot be frozen into a connection."""
    keys = AwsCredential(access_key_id="ASIA", secret_access_key="s")
    with pytest.raises(TypeError):
        HttpSigV4(source="s", host=API).render(keys, secret)


class TestHttpSigV4(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Shape:
        return HttpSigV4(source="s", host=API, headers=EXTRA, extra={"timeout": 5})


class TestLiveHttp(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Shape:
        return Http(source="s", host=API, live=True, headers=EXTRA, extra={"timeout": 5})


def test_notes_are_those_of_the_form() -> None:
    """What is worth knowing differs: a live connection does not keep a token, and is led through this process."""
    static, live = Http(source="s", host=API).notes(), Http(source="s", host=API, live=True).notes()

    assert any("keeps the token" in note for note in static)
    assert not any("keeps the token" in note for note in live)
    assert any("127.0.0.1" in note for note in live)
    assert live == list(HttpSigV4(source="s", host=API).notes())
