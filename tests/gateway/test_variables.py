"""Variables of a collection come from connections as hooks read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_ephemeral_secrets.gateway.variables import Given, given

BASIC = base64.b64encode(b"reader:pass-word").decode()


def of(**fields: Any) -> Given:
    extra = json.dumps(fields.pop("extra", {}))
    return given("api", Connection(conn_id="orders_api", conn_type="http", extra=extra, **fields))


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"host": "https://api.example.com/v1/"}, "https://api.example.com/v1"),
        ({"host": "api.example.com", "schema": "https", "port": 8443}, "https://api.example.com:8443"),
        ({"host": "api.example.com"}, "http://api.example.com"),
        ({}, None),
    ],
)
def test_host(fields: dict[str, Any], host: str | None) -> None:
    """The host is the URL with which the http hook would begin."""
    assert of(**fields).values.get("api_host") == host


@pytest.mark.parametrize(
    ("fields", "token", "secrets"),
    [
        ({"extra": {"Authorization": "Bearer abc.def"}}, "abc.def", ["Bearer abc.def", "abc.def"]),
        ({"extra": {"Authorization": "abc.def"}}, "abc.def", ["abc.def", "abc.def"]),
        ({"extra": {"Authorization": f"Basic {BASIC}"}}, None, [f"Basic {BASIC}"]),
        ({"extra": {"X-Api-Key": "key-1", "Accept": "text/csv", "timeout": 5}}, "key-1", ["key-1", "key-1"]),
        ({"extra": {"Ocp-Apim-Subscription-Key": "s", "Authorization": "Bearer t"}}, "t", ["s", "Bearer t", "t"]),
        ({"extra": {"X-Lease-Token": "capability", "trust_env": False}}, "capability", ["capability", "capability"]),
        ({"password": "a-key"}, "a-key", ["a-key", "a-key"]),
        ({"login": "reader", "password": "pass-word"}, None, ["pass-word", BASIC]),
    ],
)
def test_token(fields: dict[str, Any], token: str | None, secrets: list[str]) -> None:
    """The token is the Bearer token or API key without its prefix, and all that proves the caller is secret."""
    got = of(**fields)
    assert got.values.get("api_token") == token
    assert got.secrets == secrets


def test_headers_and_login() -> None:
    """Each header is a variable, and login and password are; keys that the hook reads are none."""
    got = of(host="https://api", login="reader", password="pass-word", extra={"X-Version": "2", "timeout": 5})
    assert got.values == {
        "api_host": "https://api",
        "api_login": "reader",
        "api_password": "pass-word",
        "api_header_X-Version": "2",
    }
    assert got.host
    assert got.host.headers == [("X-Version", "2"), ("Authorization", f"Basic {BASIC}")]
    assert "pass-word" not in f"{got!r} {got.host!r}"
