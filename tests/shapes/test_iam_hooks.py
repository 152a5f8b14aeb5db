"""Stock hooks of PostgreSQL and MySQL that get a token of RDS or Entra ID for each connection, as the old ones die."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential
from tests.live.gateways import Gateway
from tests.live.sessions import ENVIRONMENT, REGION, WORKER, Sessions
from tests.live.test_kubernetes_hooks import issuer
from tests.peers import installed
from tests.peers.postgresql import USER, PostgreSql
from tests.peers.rds import Rds
from tests.peers.rds_postgresql import RdsPostgreSql
from tests.peers.rogue import Rogue
from tests.peers.sigv4 import SignatureRefusedError, verify
from tests.peers.tls import serving
from tests.shapes.worker import Seen, Trust, verified, work

HERE = "127.0.0.1"
ACCESS = """
hostnossl all admin  127.0.0.1/32 scram-sha-256
hostnossl all reader 127.0.0.1/32 trust
"""
LIFETIMES = 3
SCOPE = f"{REGION}/rds-db"


class Tokens:
    """Judge tokens of RDS by their signature, and by the keys that made it; remember those keys."""

    def __init__(self, cloud: Sessions) -> None:
        self.of: list[str] = []
        self._cloud = cloud

    def __call__(self, token: str) -> bool:
        try:
            query = verify(f"https://{token}", secret_of=self._secret_of, scope=SCOPE)
        except (SignatureRefusedError, ValueError, KeyError):
            return False
        key_id = query["X-Amz-Credential"].partition("/")[0]
        self.of.append(key_id)
        genuine = query["X-Amz-Security-Token"] == self._keys(key_id).session_token
        return genuine and query["DBUser"] == "reader" and key_id not in self._cloud.dead()

    def _secret_of(self, key_id: str) -> str:
        return self._keys(key_id).secret_access_key

    def _keys(self, key_id: str) -> AwsCredential:
        return WORKER if key_id == WORKER.access_key_id else self._cloud.issued[key_id]


class OfEntra:
    """Judge JWTs, and remember them."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def __call__(self, token: str) -> bool:
        self.taken.add(token)
        return verified(token)


class Ran(NamedTuple):
    """What the worker told, and which keys made the tokens that each database took."""

    told: Seen
    postgresql: Tokens
    mysql: Tokens
    entra: OfEntra
    cloud: Sessions


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSql]:
    """A PostgreSQL that trusts whom the relay before it lets in."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="airflow-ephemeral-")))
        access = folder / "access.conf"
        access.write_text(ACCESS)
        if os.geteuid() == 0:
            for path in (folder, access):
                shutil.chown(path, USER)
        server = stack.enter_context(PostgreSql(hba_file=str(access)))
        server.database("shop", role="reader", password="never asked for")
        yield server


@pytest.fixture(scope="module")
def ran(postgresql: PostgreSql, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks for three lifetimes of the keys."""
    packages = installed.mysql()
    trust = Trust(tmp_path_factory.mktemp("trust"))
    tls = serving(trust.authority)
    cloud = Sessions("rds", lambda _: None)
    of_postgresql, of_mysql, of_entra = Tokens(cloud), Tokens(cloud), OfEntra()
    with (
        Rogue(issuer(cloud.lives)) as tokens,
        RdsPostgreSql(postgresql.port, of_entra, tls) as azure,
        Gateway(cloud) as sts,
        RdsPostgreSql(postgresql.port, of_postgresql, tls) as relay,
        Rds(of_mysql, tls) as stock,
    ):
        iam = {"source": "cloud", "host": HERE, "login": "reader", "iam": True, "aws_conn_id": "lake"}
        entra = {"source": "entra", "live": True, "resources": ["https://ossrdbms-aad.database.windows.net"]}
        shop = {**iam, "shape": "postgres", "port": relay.port, "schema": "shop"}
        return Ran(
            work(
                "iam",
                {
                    "lake": {"source": "cloud", "shape": "aws", "region": REGION, "live": True},
                    "lake_static": {"source": "worker", "shape": "aws", "region": REGION},
                    "shop": {**shop, "extra": {"sslmode": "verify-full", "sslrootcert": trust.ca_file}},
                    "shop_static": {**shop, "source": "worker", "aws_conn_id": "lake_static"},
                    "entra": {**entra, "shape": "azure", "extra": {"use_azure_identity_object": True}},
                    "shop_entra": {
                        **{name: value for name, value in shop.items() if name != "aws_conn_id"},
                        "source": "entra",
                        "port": azure.port,
                        "azure_conn_id": "entra",
                    },
                    "shop_of_another": {**shop, "login": "writer"},
                    "stock": {
                        **iam,
                        "shape": "mysql",
                        "port": stock.port,
                        "extra": {"ssl": {"ca": trust.ca_file}, "ssl_mode": "VERIFY_IDENTITY"},
                    },
                },
                home=tmp_path_factory.mktemp("worker"),
                sources={
                    "cloud": cloud.source(sts.url),
                    "worker": {"kind": "aws_session", "region": REGION},
                    "entra": {
                        "kind": "oauth2",
                        "token_url": f"{tokens.url}/token",
                        "client_id": "airflow",
                        "client_auth": "none",
                    },
                },
                AIRFLOW__AWS__SESSION_FACTORY="airflow_ephemeral_secrets.aws_session.SessionFactory",
                SECONDS=str(LIFETIMES * cloud.lives + 1),
                PYTHONPATH=os.pathsep.join([str(installed.ROOT), str(packages)]),
                LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN="1",
                **ENVIRONMENT,
            ),
            of_postgresql,
            of_mysql,
            of_entra,
            cloud,
        )


def test_each_connection_has_a_token_of_living_keys(ran: Ran) -> None:
    """One hook each connects again and again, past three lifetimes of the keys, and is let in each time."""
    assert len(ran.told["found"]) > LIFETIMES
    assert {tuple(one) for one in ran.told["found"]} == {("reader", False)}
    assert len(set(ran.mysql.of)) > LIFETIMES
    assert len(set(ran.postgresql.of)) > LIFETIMES


def test_hooks_ask_for_the_keys_each_time(ran: Ran) -> None:
    """A hook reads the connection of its database once, and that of AWS for each token."""
    lookups = ran.told["lookups"]
    assert (lookups["shop"], lookups["stock"]) == (1, 1)
    assert lookups["lake"] == 2 * len(ran.told["found"])


def test_static_keys_do_as_well(ran: Ran) -> None:
    """The connection of AWS need not be live: it is looked up for each token."""
    assert ran.told["static"] == ["reader"]
    assert ran.told["operator"] == [["reader"]]


def test_entra_has_a_living_token_for_each_connection(ran: Ran) -> None:
    """With a live connection of Azure, the hook gets a token that lives each time, past three of their lifetimes."""
    assert set(ran.told["found_by_entra"]) == {"reader"}
    assert len(ran.entra.taken) > LIFETIMES
    assert ran.told["lookups"]["shop_entra"] == 1


def test_database_refuses_another_user(ran: Ran) -> None:
    """A token that is not for this user is refused, and the error is the database's."""
    assert "PAM authentication failed" in ran.told["refused"]["told"]
