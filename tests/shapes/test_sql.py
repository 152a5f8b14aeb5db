"""The connections of SQL databases, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape
from airflow_ephemeral_secrets.shapes.sql import Mysql, Postgres, Redshift, Trino
from tests.shapes.conformance import ShapeConformance, secret

TOKEN = BearerToken(token="a-token", expires_at=1_800_000_000.0)
LOGIN = BasicCredential(username="IAMR:reader", password="a-password")
KEYS = AwsCredential(access_key_id="ASIA", secret_access_key="a-secret", session_token="a-session")
CONNECTOR = {"client": "mysql-connector-python"}


def fields(spec: ConnectionSpec) -> dict[str, Any]:
    """List the fields that are not empty, with the extra read."""
    found = {name: value for name, value in spec.fields().items() if value is not None}
    return {**found, "extra": json.loads(spec.extra or "{}")}


class TestPostgres(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Postgres:
        return Postgres(
            source="s",
            host="db.test",
            port=6432,
            login="reader",
            schema="a schema/with slash",
            extra={"sslmode": "verify-full", "sqlalchemy_query": {"application_name": "a"}, "connect_timeout": 5},
        )


class TestMysql(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Mysql:
        return Mysql(
            source="s",
            host="db.test",
            login="reader",
            schema="shop",
            extra={"ssl": {"ca": "/ca.pem"}, "charset": "utf8"},
        )


class TestPostgresWithIam(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Postgres:
        return Postgres(source="s", host="db.test", login="reader", iam=True, aws_conn_id="lake")


class TestRedshift(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Redshift:
        return Redshift(source="s", host="db.test", login="reader", schema="shop", extra={"sslmode": "verify-full"})


class TestTrino(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Trino:
        return Trino(
            source="s",
            host="trino.test",
            login="reader",
            catalog="lake",
            schema="shop",
            extra={"client_tags": ["a", "b"], "verify": "/ca.pem", "session_properties": {"query_max_run_time": "1h"}},
        )


REQUIRED = {"sslmode": "require", "sqlalchemy_query": {"sslmode": "require"}}
"""What the hook, and its SQLAlchemy engine, are told of TLS where the file says nothing."""


@pytest.mark.parametrize(
    ("shape", "credential", "expected"),
    [
        (
            Postgres(source="s", host="db.test"),
            LOGIN,
            {"port": 5432, "login": "IAMR:reader", "password": "a-password", "extra": REQUIRED},
        ),
        (
            Postgres(source="s", host="db.test", login="reader", schema="shop", extra={"sslmode": "disable"}),
            TOKEN,
            {
                "port": 5432,
                "login": "reader",
                "password": "a-token",
                "schema": "shop",
                "extra": {"sslmode": "disable", "sqlalchemy_query": {"sslmode": "disable"}},
            },
        ),
        (
            Postgres(
                source="s",
                host="db.test",
                extra={
                    "sslmode": "verify-full",
                    "sslrootcert": "/ca.pem",
                    "sqlalchemy_query": {"sslrootcert": "/my.pem"},
                },
            ),
            LOGIN,
            {
                "port": 5432,
                "login": "IAMR:reader",
                "password": "a-password",
                "extra": {
                    "sslmode": "verify-full",
                    "sslrootcert": "/ca.pem",
                    "sqlalchemy_query": {"sslmode": "verify-full", "sslrootcert": "/my.pem"},
                },
            },
        ),
        (
            Postgres(source="s", host="db.test", login="{username}@tenant"),
            LOGIN,
            {"port": 5432, "login": "IAMR:reader@tenant", "password": "a-password", "extra": REQUIRED},
        ),
        (
            Mysql(source="s", host="db.test", login="reader"),
            TOKEN,
            {"port": 3306, "login": "reader", "password": "a-token", "extra": {"ssl_mode": "REQUIRED"}},
        ),
        (
            Mysql(source="s", host="db.test", extra={"ssl": {"ca": "/ca.pem"}}),
            LOGIN,
            {"port": 3306, "login": "IAMR:reader", "password": "a-password", "extra": {"ssl": {"ca": "/ca.pem"}}},
        ),
        (
            Mysql(source="s", host="db.test", extra=CONNECTOR),
            LOGIN,
            {"port": 3306, "login": "IAMR:reader", "password": "a-password", "extra": CONNECTOR},
        ),
        (
            Postgres(source="s", host="db.test", login="reader", schema="shop", iam=True, aws_conn_id="lake"),
            KEYS,
            {
                "port": 5432,
                "login": "reader",
                "schema": "shop",
                "extra": {**REQUIRED, "iam": True, "aws_conn_id": "lake"},
            },
        ),
        (
            Postgres(source="s", host="db.test", login="r", iam=True, aws_conn_id="lake", extra={"redshift": True}),
            KEYS,
            {
                "port": 5432,
                "login": "r",
                "extra": {**REQUIRED, "redshift": True, "iam": True, "aws_conn_id": "lake"},
            },
        ),
        (
            Postgres(source="s", host="db.test", login="reader", iam=True, azure_conn_id="entra"),
            BearerToken(token="a-token-of-entra"),
            {"port": 5432, "login": "reader", "extra": {**REQUIRED, "iam": True, "azure_conn_id": "entra"}},
        ),
        (
            Mysql(source="s", host="db.test", login="reader", iam=True, aws_conn_id="lake"),
            KEYS,
            {
                "port": 3306,
                "login": "reader",
                "extra": {"iam": True, "aws_conn_id": "lake", "ssl_mode": "REQUIRED"},
            },
        ),
        (
            Redshift(source="s", host="db.test", schema="dev", extra={"timeout": 5}),
            LOGIN,
            {
                "port": 5439,
                "login": "IAMR:reader",
                "password": "a-password",
                "schema": "dev",
                "extra": {"timeout": 5},
            },
        ),
        (
            Trino(source="s", host="db.test", login="reader", catalog="lake"),
            TOKEN,
            {
                "port": 443,
                "login": "reader",
                "extra": {"auth": "jwt", "jwt__token": "a-token", "protocol": "https", "catalog": "lake"},
            },
        ),
        (
            Trino(source="s", host="db.test", schema="shop", extra={"verify": False}),
            LOGIN,
            {
                "port": 443,
                "login": "IAMR:reader",
                "password": "a-password",
                "schema": "shop",
                "extra": {"verify": False, "protocol": "https"},
            },
        ),
    ],
)
def test_fields(shape: Shape, credential: Credential, expected: dict[str, Any]) -> None:
    """The secret is the password, or Trino's JWT; the extra holds what the file says, TLS, and nothing of ours."""
    conn_type = shape.__struct_config__.tag

    assert fields(shape.render(credential, secret)) == {"conn_type": conn_type, "host": "db.test", **expected}


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"client": "pymysql"}, "extra.client: expected mysqlclient or mysql-connector-python"),
        ({"ssl_ca": "/ca.pem"}, "extra.ssl_ca: is not taken by this shape; did you mean 'ssl'?"),
        ({**CONNECTOR, "ssl": {"ca": "/ca.pem"}}, "extra.ssl: is not taken by this shape; did you mean 'ssl_ca'?"),
        ({**CONNECTOR, "ssl_mode": "REQUIRED"}, "extra.ssl_mode: is not taken by this shape; did you mean 'ssl_key'?"),
    ],
)
def test_mysql_keys_are_those_of_the_client(extra: dict[str, Any], problem: str) -> None:
    """The hook reads other keys for each client, and TLS that is passed over in silence would be none."""
    assert Mysql(source="s", host="db.test", extra=extra).problems() == [problem]


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (Postgres(source="s", host="h", login="r", iam=True), "aws_conn_id: required with iam, or azure_conn_id"),
        (Mysql(source="s", host="h", login="r", iam=True), "aws_conn_id: required with iam"),
        (Postgres(source="s", host="h", login="r", azure_conn_id="a"), "azure_conn_id: is of no use without iam"),
        (
            Postgres(source="s", host="h", login="r", iam=True, aws_conn_id="lake", azure_conn_id="a"),
            "azure_conn_id: does not go with aws_conn_id",
        ),
        (Postgres(source="s", host="h", login="r", aws_conn_id="lake"), "aws_conn_id: is of no use without iam"),
        (
            Mysql(source="s", host="h", login="r", iam=True, aws_conn_id="lake", extra=CONNECTOR),
            "extra.client: does not go with iam, which the hook heeds for mysqlclient only",
        ),
        (
            Postgres(source="s", host="h", login="r", extra={"redshift": True}),
            "extra.redshift: would make the hook take another identity",
        ),
        (
            Postgres(source="s", host="h", login="r", iam=True, aws_conn_id="lake", extra={"aws_conn_id": "x"}),
            "extra.aws_conn_id: would make the hook take another identity",
        ),
    ],
)
def test_what_goes_with_iam(shape: Shape, problem: str) -> None:
    """The hook needs a connection to make tokens with, and heeds it for one client of MySQL."""
    assert shape.problems() == [problem]
