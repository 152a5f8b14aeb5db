"""Any connection, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.fields import Fields
from tests.shapes.conformance import CREDENTIALS, ShapeConformance, secret

TOKEN = BearerToken(token="a-token")
LOGIN = BasicCredential(username="a-login", password="a-password")
KEYS = AwsCredential(access_key_id="an-id", secret_access_key="a-secret", session_token="a-session")


class TestToken(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Fields:
        return Fields(
            source="s",
            conn_type="trino",
            host="trino.test",
            login="airflow",
            schema="a schema/with slash",
            port=443,
            extra={
                "auth": "jwt",
                "nested": [{"jwt__token": "Bearer {token}{password}{session_token}"}, 1, None, True, 1.5],
            },
        )


class TestLogin(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Fields:
        return Fields(
            source="s",
            conn_type="my_database",
            host="db.test",
            login="{username}{access_key_id}",
            password="{token}{password}{secret_access_key}",
        )


@pytest.mark.parametrize(
    ("credential", "fields", "expected"),
    [
        (TOKEN, {}, {}),
        (
            TOKEN,
            {"password": "{token}", "host": "db.test", "port": 5432},
            {"password": "a-token", "host": "db.test", "port": 5432},
        ),
        (
            LOGIN,
            {"login": "{username}@acme", "password": "{password}"},
            {"login": "a-login@acme", "password": "a-password"},
        ),
        (
            LOGIN,
            {"host": "{username}.test", "schema": "db_{username}"},
            {"host": "a-login.test", "schema": "db_a-login"},
        ),
        (
            KEYS,
            {"login": "{access_key_id}", "password": "{secret_access_key}"},
            {"login": "an-id", "password": "a-secret"},
        ),
        (TOKEN, {"host": "", "login": ""}, {"host": "", "login": ""}),
    ],
)
def test_fields(credential: Credential, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every field is what the file says, filled in; what it does not say stays empty."""
    empty = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
    spec = Fields(source="s", conn_type="x", **fields).render(credential, secret)

    assert spec.fields() == {"conn_type": "x", **empty, **expected}


def test_extra_at_any_depth() -> None:
    """Text in the extra is filled in at any depth; keys, numbers and what is no placeholder stay as they are."""
    extra = {
        "token": "{token}",
        "list": ["{token}", ["Bearer {token}"], 1, 1.5, True, None],
        "{token}": {"deep": {"deeper": "<{token}>"}},
        "json": '{"a": {}}',
    }
    spec = Fields(source="s", conn_type="x", extra=extra).render(TOKEN, secret)

    assert json.loads(spec.extra or "") == {
        "token": "a-token",
        "list": ["a-token", ["Bearer a-token"], 1, 1.5, True, None],
        "{token}": {"deep": {"deeper": "<a-token>"}},
        "json": '{"a": {}}',
    }


def test_lists_where_placeholders_may_stand() -> None:
    """The configuration checks every text at load, by its path."""
    shape = Fields(
        source="s",
        conn_type="x",
        host="h",
        login="l",
        password="p",
        schema="s",
        extra={"a": "1", "b": {"c": ["2", {"d": "3"}, 4]}},
    )

    assert shape.texts() == {
        "host": "h",
        "login": "l",
        "password": "p",
        "schema": "s",
        "extra.a": "1",
        "extra.b.c[0]": "2",
        "extra.b.c[1].d": "3",
    }


def test_plain_words_are_no_masks() -> None:
    """Of the values in extra those are masked that hold a secret; a region or a protocol is no secret anywhere."""
    extra = {"jwt__token": "{token}", "header": "Bearer {token}", "auth": "jwt-plain", "region": "eu-west-1", "n": 1}
    made = Fields(source="s", conn_type="x", extra=extra).render(TOKEN, secret)
    masks = made.masks()

    assert set(masks.also) == {made.extra, "Bearer a-token"}
    assert "a-token" in masks.forms
    assert {"eu-west-1", "jwt-plain"}.isdisjoint(masks.forms)


@pytest.mark.parametrize("kind", list(CREDENTIALS), ids=lambda kind: kind.__struct_config__.tag)
def test_takes_every_kind(kind: type[Credential]) -> None:
    """Any credential can be put into fields by hand."""
    assert kind in Fields.accepts
