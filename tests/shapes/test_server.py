"""What the shapes of databases and other servers have in common."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets import config
from airflow_ephemeral_secrets.credential import BasicCredential
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.reading import Problems, struct
from airflow_ephemeral_secrets.shapes.base import Shape
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.shapes.redis import Redis
from airflow_ephemeral_secrets.shapes.search import Elasticsearch, Opensearch
from airflow_ephemeral_secrets.shapes.server import Account, Server
from airflow_ephemeral_secrets.shapes.sql import Mysql, Postgres, Redshift, Trino
from airflow_ephemeral_secrets.shapes.warehouses import Databricks, Snowflake
from airflow_ephemeral_secrets.sources.kinds import load

SERVERS: list[type[Server]] = [
    Postgres,
    Mysql,
    Redshift,
    Trino,
    Databricks,
    Elasticsearch,
    Opensearch,
    Redis,
]
ACCOUNTS = [kind for kind in SERVERS if issubclass(kind, Account)]


def loaded(shape: str, source: str, **fields: Any) -> list[str]:
    """Load a configuration of one recipe, and list its problems."""
    sources = {
        "token": {"kind": "static", "token": {"secret": "s"}},
        "login": {"kind": "static", "username": "airflow", "password": {"secret": "s"}},
        "keys": {"kind": "aws_session", "region": "eu-west-1"},
    }
    recipe = {"shape": shape, "source": source, **fields}
    raw = {
        "version": 1,
        "secrets": {"s": {"from": "env", "name": "S"}},
        "sources": {source: sources[source]},
        "connections": {"c": recipe},
    }
    try:
        config.from_document(raw, "a test")
    except ConfigError as error:
        return list(error.problems)
    return []


def test_every_server_is_tried() -> None:
    """No shape that stands on this base is missing here."""
    assert set(SERVERS) == {kind for place in SHAPES.values() if issubclass(kind := load(place), Server)}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    "host", ["https://db.test", "db.test:5432", "u@db.test", "db.test/x", "{token}", "a b", "db.test\n", "-db", ""]
)
def test_host_is_a_name(kind: type[Server], host: str) -> None:
    """What is more than a host name would lead the secret elsewhere, or nowhere."""
    problems = Problems()
    struct(kind, {"source": "s", "host": host}, "c", problems)

    assert problems == ["c.host: expected a host name or address, without scheme, port or login, got text"]


@pytest.mark.parametrize("host", ["db", "db.test", "db-1.prod_eu.test.", "10.0.0.1", "::1", "2001:db8::1"])
def test_host_may_be_any_name_or_address(host: str) -> None:
    """Names and addresses of either family are taken."""
    problems = Problems()
    struct(Postgres, {"source": "s", "host": host}, "c", problems)

    assert problems == []


@pytest.mark.parametrize("kind", ACCOUNTS)
@pytest.mark.parametrize("login", ["", "{token}", "{password}", "airflow-{expires_at}"])
def test_login_shows_no_secret(kind: type[Account], login: str) -> None:
    """A login stands in the server's logs, and must not change while a credential lives."""
    assert kind(source="s", host="db.test", login=login).problems() == [
        "login: expected a user, in which only {username} may stand"
    ]


@pytest.mark.parametrize("kind", [str(kind.__struct_config__.tag) for kind in ACCOUNTS])
def test_token_needs_a_login(kind: str) -> None:
    """A token does not say whose it is: a recipe without a login is found when the file is loaded."""
    assert loaded(kind, "token", host="db.test") == [
        "connections.c.login: {username} cannot be filled by source kind 'static'; it fills {expires_at}, {token}"
    ]
    assert loaded(kind, "token", host="db.test", login="airflow") == loaded(kind, "login", host="db.test") == []


@pytest.mark.parametrize("kind", [*SERVERS, Snowflake])
def test_keys_of_aws_fit_nowhere(kind: type[Shape]) -> None:
    """A source whose credential cannot fill a shape is found when the file is loaded, with what would fit."""
    shape = str(kind.__struct_config__.tag)
    where = {"account": "acme"} if kind is Snowflake else {"host": "db.test"}
    (problem,) = loaded(shape, "keys", **where)

    assert problem.startswith(f"connections.c.shape: {shape!r} cannot be filled from a source of kind 'aws_session'")
    assert ("it takes a token or a login and password;" in problem) is (BasicCredential in kind.accepts)
    assert "it takes a token" in problem


@pytest.mark.parametrize("kind", SERVERS)
def test_extra_holds_what_the_hook_takes(kind: type[Server]) -> None:
    """A key that the hook would hand to a driver that does not know it, or pass over in silence, is a problem."""
    (problem,) = kind(source="s", host="db.test", extra={"lease_id": "x"}).problems()

    assert problem.startswith("extra.lease_id: is not taken by this shape; ")


@pytest.mark.parametrize("kind", SERVERS)
def test_extra_does_not_undo_the_shape(kind: type[Server]) -> None:
    """What the shape fills in, and what would prove somebody else, is not overridden in silence but a problem."""
    for key, reason in kind.refused.items():
        assert f"extra.{key}: {reason}" in kind(source="s", host="db.test", extra={key: "x"}).problems()


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (Postgres, "iam aws_conn_id azure_conn_id redshift redshift-serverless passfile service"),
        (Mysql, "iam aws_conn_id"),
        (Redshift, "iam db_user profile credentials_provider access_key_id role_arn cluster_identifier is_serverless"),
        (Trino, "impersonate_as_owner certs__client_cert_path kerberos__principal"),
        (Databricks, "azure_tenant_id use_azure_managed_identity service_principal_oauth federated_token_provider"),
        (Databricks, "federated_k8s federated_aws use_default_azure_credential auth_type http_headers"),
        (Elasticsearch, "basic_auth http_auth cloud_id"),
    ],
)
def test_another_identity_is_refused(kind: type[Server], keys: str) -> None:
    """A key by which the hook, or the driver behind it, finds a credential of its own is told apart from a slip."""
    for key in keys.split():
        problems = kind(source="s", host="db.test", extra={key: True}).problems()

        assert problems == [f"extra.{key}: would make the hook take another identity"]


@pytest.mark.parametrize("kind", SERVERS)
def test_no_key_is_both_taken_and_refused(kind: type[Server]) -> None:
    """The two lists do not contradict each other."""
    assert kind.keys & kind.refused.keys() == set()
    assert set(kind.defaults) <= set(kind.keys)


@pytest.mark.parametrize("kind", SERVERS)
def test_extra_is_not_filled_in(kind: type[Server]) -> None:
    """A placeholder where none is filled in would reach the server as it is, and says so instead."""
    key = min(kind(source="s", host="db.test").takes())
    shape: Shape = kind(source="s", host="db.test", extra={key: {"inside": ["{token}"]}})

    assert f"extra.{key}: placeholders are not filled in here" in shape.problems()
