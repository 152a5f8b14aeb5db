"""What every shape promises; each inherits these tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote_plus

import msgspec
import pytest
from airflow.sdk import Connection

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import Problems, SecretName, struct
from airflow_ephemeral_secrets.recipe import secret_names
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape
from airflow_ephemeral_secrets.shapes.live import Route
from airflow_ephemeral_secrets.testing import assert_shape_conforms

SECRETS = {
    "token": "eyJhbGciOi.eyJzdWIiOi-J9_x.c2ln~bmF0dXJl",
    "base64": "FwoGZXIvYXdzEBYaDKw+/z4r/8Zp==",
    "url": "p@ss:w/o?r#d&100%;[x]",
    "space": "correct horse battery",
    "quotes": 'it\'s "quoted" \\back\\slashed',
    "accents": "pässwörd-größe",
    "emoji": "pass🔑word",
    "percent": "already%20quoted%2F",
}
CREDENTIALS: dict[type[Credential], Callable[[str], Credential]] = {
    BearerToken: lambda secret: BearerToken(token=secret, expires_at=1_800_000_000.0, principal="p"),
    BasicCredential: lambda secret: BasicCredential(username="a:b@c/d", password=secret, principal="p"),
    AwsCredential: lambda secret: AwsCredential(
        access_key_id="ASIAMINTED", secret_access_key=f"k{secret}", session_token=secret, principal="p"
    ),
}
MANY = pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)


def secret(name: SecretName) -> str:
    """Read a secret reference."""
    return f"secret-of-{name.secret}"


def every(shape: Shape, text: str) -> Iterator[Credential]:
    """Make a credential of each kind that a shape accepts, with this secret in it."""
    return (CREDENTIALS[kind](text) for kind in shape.accepted())


def connection(spec: ConnectionSpec) -> Connection:
    return Connection(conn_id="c", **spec.fields())


def content(found: Connection) -> dict[str, Any]:
    """List what a connection holds; an empty field of a URI is none."""
    names = ("conn_type", "host", "schema", "login", "password", "port")
    return {**{name: getattr(found, name) or None for name in names}, "extra": found.extra_dejson}


def masked(text: str, spec: ConnectionSpec) -> str:
    """Mask as Airflow does."""
    for form in sorted(spec.secrets, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def readable(text: str, hidden: str) -> bool:
    """Say whether a secret can still be read from a text that was masked, as it is or with its quoting undone."""
    forms = (hidden, json.dumps(hidden)[1:-1], json.dumps(hidden, ensure_ascii=False)[1:-1])
    return any(form in reading for form in forms for reading in (text, unquote_plus(text)))


class ShapeConformance:
    """Inherit, and give the fixture ``shape``, with every field that it may have."""

    @MANY
    def test_keeps_the_promises_of_shapes(self, shape: Shape, text: str) -> None:
        """Whoever writes a shape can check it with the public assertion."""
        for credential in every(shape, text):
            assert_shape_conforms(shape, credential, secret)

    def test_configuration_is_not_touched(self, shape: Shape) -> None:
        """Rendering leaves the shape as it was: no secret stays, and the next credential finds its placeholders."""
        before = msgspec.json.encode(shape)
        for credential in every(shape, SECRETS["token"]):
            shape.render(credential, secret)

        assert msgspec.json.encode(shape) == before

    @MANY
    def test_survives_json(self, shape: Shape, text: str) -> None:
        """Airflow reads a backend's JSON into the very fields that were rendered."""
        for credential in every(shape, text):
            spec = shape.render(credential, secret)
            value = json.dumps({name: field for name, field in spec.fields().items() if field is not None})

            assert Connection.from_json(value, conn_id="c") == connection(spec)

    @MANY
    def test_survives_a_uri(self, shape: Shape, text: str) -> None:
        """Airflow turns connections into URIs and back; nothing is lost."""
        for credential in every(shape, text):
            made = connection(shape.render(credential, secret))

            assert content(Connection.from_uri(made.get_uri(), conn_id="c")) == content(made)

    @MANY
    def test_masks_every_form(self, shape: Shape, text: str) -> None:
        """What a task prints of its connection holds no secret: the fields, the extra, the URI, a Basic header."""
        for credential in every(shape, text):
            spec = shape.render(credential, secret)
            made = connection(spec)
            basic = base64.b64encode(f"{made.login}:{made.password}".encode()).decode()
            printed = {
                "fields": " ".join(filter(None, (made.host, made.login, made.password, made.schema))),
                "extra": spec.extra or "",
                "uri": made.get_uri(),
                "quoted": quote(text, safe=""),
                "basic": basic if made.login and made.password else "",
            }
            hidden = [*credential.secrets(), *(f"secret-of-{name}" for name in secret_names(shape).values()), basic]

            assert [
                name for name, shown in printed.items() for one in hidden if readable(masked(shown, spec), one)
            ] == []

    def test_masks_nothing_else(self, shape: Shape) -> None:
        """A form that is empty or short would blank the log."""
        for credential in every(shape, SECRETS["token"]):
            assert min(map(len, shape.render(credential, secret).secrets)) > 8

    def test_knows_its_fields(self, shape: Shape) -> None:
        """A misspelt field is a problem, not ignored."""
        found = Problems()
        struct(type(shape), {**msgspec.to_builtins(shape), "misspelt": 1}, "shape", found, ignore=("shape",))

        assert [problem.partition(":")[0] for problem in found] == ["shape.misspelt"]


class LiveShapeConformance:
    """Inherit, and give the fixture ``shape``, a live one."""

    ROUTE = Route("http://127.0.0.1:4711", "a-capability-of-many-random-letters")

    def told(self, made: ConnectionSpec) -> str:
        """Say what the hook is told by a connection."""
        return f"{made.fields()}"

    def test_holds_no_credential(self, shape: Shape) -> None:
        """It asks for a place, and leads the hook there: the same bytes each time, the capability to be masked."""
        made = shape.render_live(self.ROUTE, secret)

        assert shape.problems() == []
        assert shape.face() is not None
        assert made == shape.render_live(self.ROUTE, secret)
        assert self.ROUTE.capability in made.secrets
        assert readable(self.told(made), self.ROUTE.capability)
        assert not readable(masked(f"{made.fields()} {connection(made).get_uri()}", made), self.ROUTE.capability)

    def test_survives_json_and_a_uri(self, shape: Shape) -> None:
        """Airflow reads it back as it was rendered."""
        made = shape.render_live(self.ROUTE, secret)
        value = json.dumps({name: field for name, field in made.fields().items() if field is not None})

        assert Connection.from_json(value, conn_id="c") == connection(made)
        assert content(Connection.from_uri(connection(made).get_uri(), conn_id="c")) == content(connection(made))

    def test_knows_its_fields(self, shape: Shape) -> None:
        """A misspelt field is a problem, not ignored."""
        found = Problems()
        struct(type(shape), {**msgspec.to_builtins(shape), "misspelt": 1}, "shape", found, ignore=("shape",))

        assert [problem.partition(":")[0] for problem in found] == ["shape.misspelt"]
