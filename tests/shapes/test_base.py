"""Placeholders, and the fields of a connection."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import msgspec
import pytest

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.kinds import load
from tests import shapes
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance

TOKEN = BearerToken(token="a-token", expires_at=1_800_000_000.9)
LOGIN = BasicCredential(username="a-login", password="a-password")
SESSION = AwsCredential(access_key_id="an-id", secret_access_key="a-secret", session_token="a-session", expires_at=0.0)
KEYS = AwsCredential(access_key_id="an-id", secret_access_key="a-secret")


@pytest.mark.parametrize(
    ("credential", "text", "expected"),
    [
        (TOKEN, "", ""),
        (TOKEN, "no braces", "no braces"),
        (TOKEN, "{token}", "a-token"),
        (TOKEN, "<{token}{token}>", "<a-tokena-token>"),
        (TOKEN, "until {expires_at}", "until 2027-01-15T08:00:00+00:00"),
        (LOGIN, "{username}:{password}", "a-login:a-password"),
        (LOGIN, "{expires_at}", ""),
        (SESSION, "{access_key_id} {secret_access_key} {session_token}", "an-id a-secret a-session"),
        (SESSION, "{expires_at}", "1970-01-01T00:00:00+00:00"),
        (KEYS, "<{session_token}{expires_at}>", "<>"),
        (TOKEN, '{"json": {"a": 1}}', '{"json": {"a": 1}}'),
        (BearerToken(token="{token}"), "{token}", "{token}"),
        (BearerToken(token=r"\1\g<0>"), "{token}", r"\1\g<0>"),
    ],
)
def test_fill(credential: Credential, text: str, expected: str) -> None:
    """A placeholder becomes its field, once and as it is; what the credential lacks becomes nothing."""
    assert fill(text, credential) == expected


def test_extra_is_the_same_bytes() -> None:
    """Keys stay in the order of the file; an extra that holds nothing is none."""
    assert dump({"b": 1, "a": "ä"}) in ('{"b": 1, "a": "\\u00e4"}', '{"b": 1, "a": "ä"}')
    assert dump({}) is None


def test_spec_shows_no_secret() -> None:
    """The fields can be printed; what is to be masked is not among what the Connection gets."""
    made = spec(LOGIN, conn_type="x", host="h", login="a-login", password="a-password", extra='{"k": "a-password"}')

    assert repr(made) == "ConnectionSpec(conn_type='x', host='h')"
    assert "secrets" not in made.fields()
    assert set(made.fields()) == set(ConnectionSpec.__struct_fields__) - {"secrets", "until"}


def test_spec_is_frozen() -> None:
    """What was rendered is not changed by whoever hands it on."""
    with pytest.raises(AttributeError):
        spec(TOKEN, conn_type="x").host = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize("kind", SHAPES)
def test_shape_is_known_by_its_kind(kind: str) -> None:
    """The word in the configuration is the tag of the class it loads."""
    shape = load(SHAPES[kind])

    assert shape.__struct_config__.tag == kind
    assert shape.accepts
    assert msgspec.json.schema(shape)


SUITES = (ShapeConformance, LiveShapeConformance)


def test_every_shape_proves_its_promises() -> None:
    """A shape without a conformance suite here does not exist."""
    proven: set[type[Shape]] = set()
    names = (found.name for found in iter_modules(shapes.__path__))
    for name in (name for name in names if name.startswith("test_") and not name.endswith("_hooks")):
        module = import_module(f"{shapes.__name__}.{name}")
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        if any(issubclass(value, SUITES) and value not in SUITES for value in classes):
            proven |= {value for value in classes if issubclass(value, Shape)}

    assert {load(place) for place in SHAPES.values()} - proven == set()
