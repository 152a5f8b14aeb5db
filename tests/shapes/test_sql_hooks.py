"""The stock SQL hooks: real PostgreSQL and MariaDB check the password, a stub of Trino the JWT."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.peers import installed
from tests.peers.mariadb import DATABASE, MariaDb
from tests.peers.postgresql import USER, PostgreSql
from tests.peers.rds import Rds
from tests.peers.redshift import Redshift
from tests.peers.rogue import Peer, Rogue, response
from tests.peers.tls import serving
from tests.shapes.worker import SECRETS, Seen, Trust, answer, proven, readable, work

HERE = "127.0.0.1"
ACCESS = """
hostssl all rds      127.0.0.1/32 password
host    all redshift 127.0.0.1/32 md5
host    all admin    127.0.0.1/32 scram-sha-256
hostssl all all      127.0.0.1/32 scram-sha-256
"""
"""A cloud's PostgreSQL asks for a token as it is; Redshift's driver knows nothing newer than MD5."""


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def postgresql(trust: Trust) -> Iterator[PostgreSql]:
    """A PostgreSQL that asks each role for its password in another way, and hooks over TLS only."""
    installed.provider("postgres")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="airflow-ephemeral-")))
        certificate, access = folder / "certificate.pem", folder / "access.conf"
        trust.authority.issue_cert(HERE).private_key_and_cert_chain_pem.write_to_path(str(certificate))
        certificate.chmod(0o600)
        access.write_text(ACCESS)
        if os.geteuid() == 0:
            for path in (folder, certificate, access):
                shutil.chown(path, USER)
        files = {"ssl_cert_file": str(certificate), "ssl_key_file": str(certificate), "hba_file": str(access)}
        server = stack.enter_context(PostgreSql(ssl="on", **files))
        server.database("shop", role="airflow", password=SECRETS["PASSWORD"])
        server.execute(f"CREATE ROLE rds LOGIN PASSWORD '{SECRETS['TOKEN']}'")
        server.execute(f"SET password_encryption = md5; CREATE ROLE redshift LOGIN PASSWORD '{SECRETS['PASSWORD']}'")
        yield server


@pytest.fixture(scope="module")
def sql(postgresql: PostgreSql, trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks of PostgreSQL and Redshift once."""
    at = {"shape": "postgres", "host": HERE, "port": postgresql.port, "schema": "shop"}
    verified = {"sslmode": "verify-full", "sslrootcert": trust.ca_file}
    with Redshift(postgresql.port, serving(trust.authority)) as cluster:
        redshift = {**at, "shape": "redshift", "port": cluster.port, "login": "redshift"}
        connections: dict[str, Any] = {
            "pg": {**at, "source": "password", "extra": verified},
            "pg_default": {**at, "source": "password"},
            "pg_token": {**at, "source": "token", "login": "rds", "extra": verified},
            "pg_another": {**at, "source": "password", "extra": {**verified, "cursor": "namedtuplecursor"}},
            "pg_wrong": {**at, "source": "wrong"},
            "pg_expired": {**at, "source": "expired", "login": "rds"},
            "pg_impostor": {
                **at,
                "source": "password",
                "extra": {"sslmode": "verify-full", "sslrootcert": trust.strange_file},
            },
            "pg_unknown_key": {
                **at,
                "source": "password",
                "shape": "fields",
                "conn_type": "postgres",
                "login": "{username}",
                "password": "{password}",
                "extra": {"lease_id": "ours"},
            },
            "redshift": {**redshift, "source": "password"},
            "redshift_wrong": {**redshift, "source": "wrong"},
        }
        home = tmp_path_factory.mktemp("worker")
        return work("sql", connections, home=home, SSL_CERT_FILE=trust.ca_file)


@pytest.mark.parametrize(
    ("name", "role"), [("pg", "airflow"), ("pg_default", "airflow"), ("pg_token", "rds"), ("pg_another", "airflow")]
)
def test_postgres_hook(sql: Seen, name: str, role: str) -> None:
    """PostgreSQL lets the hook in as the role of the login or token, over TLS even if the file is silent."""
    assert sql["hook"][name] == [role, "shop", True]


def test_postgres_engine_and_operator(sql: Seen) -> None:
    """So do SQLAlchemy, which gets a URL, and the operator; by which no server that is another gets the password."""
    assert sql["engine"] == ["airflow", "shop", True]
    assert "certificate verify failed" in sql["engine_impostor"]["told"]
    assert sql["operator"] == [["airflow", "shop", True]]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pg_wrong", 'password authentication failed for user "airflow"'),
        ("pg_expired", 'password authentication failed for user "rds"'),
        ("pg_impostor", "certificate verify failed"),
        ("pg_unknown_key", "lease_id"),
    ],
)
def test_postgres_refuses(sql: Seen, name: str, told: str) -> None:
    """A wrong password, another's token, a server that cannot prove itself and a key that libpq does not know fail."""
    assert told in sql["refused"][name]["told"]


def test_postgres_trigger(sql: Seen) -> None:
    """What a deferred transfer leaves in the trigger's row is the conn_id; the trigger asks for the secret itself."""
    assert "'conn_id': 'pg'" in sql["deferred"]["row"]
    assert sql["deferred"]["event"] == {"status": "success", "results": [["airflow", "shop", True]]}
    assert sql["deferred_wrong"]["event"]["status"] == "failure"


def test_postgres_and_redshift_hooks_keep_the_password(sql: Seen) -> None:
    """A hook that connects twice asks once: a token that was rotated between is not picked up."""
    assert sql["lookups"] == sql["redshift_lookups"] == 1


def test_redshift(sql: Seen) -> None:
    """Redshift's own driver gets in with the temporary password, and without the right one it does not."""
    assert sql["redshift"] == ["redshift", "shop"]
    assert sql["redshift_operator"] == sql["redshift_deferred"]["event"]["results"] == [["redshift"]]
    assert "password authentication failed" in sql["redshift_wrong"]["told"]


def test_sql_leaks_nothing(sql: Seen) -> None:
    """No logger writes a secret, however talkative; no error, row or event holds one."""
    assert sql.leaks() == readable([sql.log]) == []


def test_sql_uris_are_masked(sql: Seen) -> None:
    """A task that prints the URI of its hook, which SQLAlchemy quotes in its own way, shows no secret."""
    assert readable(sql["uris"]) == []


@pytest.fixture(scope="module")
def mysql(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hook of MySQL once."""
    packages = installed.mysql()
    with (
        MariaDb(trust.authority, airflow=SECRETS["PASSWORD"], rds=SECRETS["TOKEN"]) as server,
        Rds(SECRETS["TOKEN"], serving(trust.authority)) as rds,
    ):
        at = {"shape": "mysql", "host": HERE, "port": server.port, "schema": DATABASE}
        verified = {"ssl": {"ca": trust.ca_file}, "ssl_mode": "VERIFY_IDENTITY"}
        connector = {"client": "mysql-connector-python"}
        ca = {"ssl_ca": trust.ca_file, "ssl_verify_cert": True, "ssl_verify_identity": True}
        connections: dict[str, Any] = {
            "mysql": {**at, "source": "password"},
            "mysql_token": {**at, "source": "token", "login": "rds"},
            "mysql_verified": {**at, "source": "password", "extra": verified},
            "mysql_connector": {**at, "source": "password", "extra": {**connector, **ca}},
            "mysql_wrong": {**at, "source": "wrong"},
            "mysql_connector_wrong": {**at, "source": "wrong", "extra": connector},
            "mysql_plain": {**at, "source": "password", "extra": {"ssl_mode": "DISABLED"}},
            "mysql_impostor": {**at, "source": "password", "extra": {**verified, "ssl": {"ca": trust.strange_file}}},
        }
        cloud = {**at, "login": "rds", "port": rds.port}
        for source, suffix in (("token", ""), ("expired", "_expired")):
            connections[f"rds{suffix}"] = {**cloud, "source": source, "extra": verified}
            connections[f"rds_connector{suffix}"] = {**cloud, "source": source, "extra": {**connector, **ca}}
        path = os.pathsep.join([str(installed.ROOT), str(packages)])
        clear = {"LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN": "1"}
        return work("mysql", connections, home=tmp_path_factory.mktemp("worker"), PYTHONPATH=path, **clear)


@pytest.mark.parametrize(
    ("name", "user"),
    [("mysql", "airflow"), ("mysql_token", "rds"), ("mysql_verified", "airflow"), ("mysql_connector", "airflow")],
)
def test_mysql_hook(mysql: Seen, name: str, user: str) -> None:
    """MariaDB lets the hook in with either client, over TLS even if the file is silent."""
    assert mysql["hook"][name] == [f"{user}@{HERE}", DATABASE, 1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mysql_wrong", "Access denied for user 'airflow'"),
        ("mysql_connector_wrong", "Access denied for user 'airflow'"),
        ("mysql_plain", "Access denied for user 'airflow'"),
        ("mysql_impostor", "certificate"),
    ],
)
def test_mysql_refuses(mysql: Seen, name: str, told: str) -> None:
    """A wrong password, a connection that is not encrypted and a server that cannot prove itself fail."""
    assert told in mysql["refused"][name]["told"]


def test_mysql_token_in_the_clear(mysql: Seen) -> None:
    """A server that asks for a token as it is, as RDS does, gets it from either client, over TLS, and no dead one."""
    assert mysql["rds"] == {"rds": None, "rds_connector": None}
    assert all("Access denied" in refused["told"] for refused in mysql["rds_refused"].values())


def test_mysql_driver_that_logs_a_token_is_masked(mysql: Seen) -> None:
    """At its most talkative mysql-connector-python writes a token that it sends in the clear; a task's log hides it."""
    assert mysql["driver_leaks"] > 0
    assert any("# request: b'***" in text for text in mysql["driver"])


def test_mysql_operator_and_trigger(mysql: Seen) -> None:
    """So does the operator get in, and the trigger, whose row holds the conn_id."""
    assert mysql["operator"] == mysql["deferred"]["event"]["results"] == [[f"airflow@{HERE}", DATABASE, 1]]
    assert "'conn_id': 'mysql'" in mysql["deferred"]["row"]


def test_mysql_hook_keeps_the_password(mysql: Seen) -> None:
    """A hook that connects twice asks once."""
    assert mysql["lookups"] == 1


def test_mysql_leaks_nothing(mysql: Seen) -> None:
    """No logger writes a secret; no error, row, event or masked URI holds one."""
    assert mysql.leaks() == readable([mysql.log, *mysql["uris"]]) == []


VARCHAR = {"name": "who", "type": "varchar", "typeSignature": {"rawType": "varchar", "arguments": [{"value": 9}]}}


def coordinator(peer: Peer) -> None:
    """Be a coordinator that tells who asks, if that is proven."""
    request = peer.read()
    if proven(request) is None:
        return peer.send(response(b"Unauthorized", status=401))
    page = {"id": "q", "infoUri": "https://trino.test/q", "stats": {"state": "FINISHED"}, "columns": [VARCHAR]}
    return peer.send(answer({**page, "data": [[request.headers["X-Trino-User"]]]}))


@pytest.fixture(scope="module")
def trino(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hook of Trino once."""
    installed.provider("trino")
    with (
        Rogue(coordinator, tls=serving(trust.authority)) as server,
        Rogue(coordinator, tls=serving(trust.stranger)) as impostor,
    ):
        at = {"shape": "trino", "host": HERE, "port": server.port, "extra": {"verify": trust.ca_file}}
        both = {"auth": "jwt", "jwt__token": "{token}", "protocol": "https"}
        connections: dict[str, Any] = {
            "trino": {**at, "source": "token", "login": "reporter"},
            "trino_basic": {**at, "source": "password"},
            "trino_expired": {**at, "source": "expired", "login": "reporter"},
            "trino_wrong": {**at, "source": "wrong"},
            "trino_impostor": {**at, "source": "token", "login": "reporter", "port": impostor.port},
            "trino_both": {
                **at,
                "source": "token",
                "shape": "fields",
                "conn_type": "trino",
                "login": "reporter",
                "password": "{token}",
                "extra": both,
            },
        }
        return work("trino", connections, home=tmp_path_factory.mktemp("worker"))


@pytest.mark.parametrize(("name", "user"), [("trino", "reporter"), ("trino_basic", "airflow")])
def test_trino_hook(trino: Seen, name: str, user: str) -> None:
    """Trino believes the JWT, or the login and password; the query runs as the login."""
    assert trino["hook"][name] == [user]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trino_expired", "error 401"),
        ("trino_wrong", "error 401"),
        ("trino_impostor", "CERTIFICATE_VERIFY_FAILED"),
        ("trino_both", "Multiple authentication methods"),
    ],
)
def test_trino_refuses(trino: Seen, name: str, told: str) -> None:
    """A dead JWT, a wrong password and a server that cannot prove itself fail; beside a password so does a JWT."""
    assert told in trino["refused"][name]["told"]


def test_trino_operator_and_trigger(trino: Seen) -> None:
    """So does the operator get in, and the trigger, whose row holds the conn_id."""
    assert trino["operator"] == trino["deferred"]["event"]["results"] == [["reporter"]]
    assert "'conn_id': 'trino'" in trino["deferred"]["row"]


def test_trino_hook_reads_anew(trino: Seen) -> None:
    """A hook that connects again asks again, so that it has the latest token."""
    assert trino["twice"] == 2 * trino["once"] > 0


def test_trino_leaks_nothing(trino: Seen) -> None:
    """No logger writes a secret; no error, row, event or masked URI holds one."""
    assert trino.leaks() == readable([trino.log, *trino["uris"]]) == []
