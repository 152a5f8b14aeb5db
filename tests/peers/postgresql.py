"""
A real PostgreSQL, for roles with passwords of their own.

.. code-block:: python

    with PostgreSql() as postgresql:
        database = postgresql.database("orders", role="reader", password="s3cret")
        psycopg2.connect(database.dsn)
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql

from tests.peers.installed import postgresql
from tests.peers.process import PATIENCE, POLL, Process

ADMIN = "admin"
USER = "postgres"
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "300"}


class Database(NamedTuple):
    """A database and the role that owns it."""

    host: str
    port: int
    name: str
    role: str
    password: str

    @property
    def dsn(self) -> str:
        return f"host={self.host} port={self.port} dbname={self.name} user={self.role} password={self.password}"

    @property
    def url(self) -> str:
        """As SQLAlchemy writes it."""
        return f"postgresql+psycopg2://{self.role}:{self.password}@{self.host}:{self.port}/{self.name}"


class PostgreSql:
    """
    Serve on a free loopback port while the block lasts; every role proves itself by its password (SCRAM-SHA-256).

    :param settings: further settings of the server
    """

    def __init__(self, **settings: str) -> None:
        self._settings = {**SETTINGS, **settings}
        self._stack = ExitStack()
        self._password = secrets.token_hex(16)

    def __enter__(self) -> PostgreSql:
        programs = postgresql()
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="airflow-ephemeral-postgresql-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.data = self.folder / "data"
            self._initialize(programs)
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])
            given = {"port": str(self.port), "unix_socket_directories": "", **self._settings}
            options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
            command = [*_as_user(), f"{programs}/postgres", "-D", str(self.data), *options]
            self.process = stack.enter_context(Process(command, ready="ready to accept connections"))
            stack.callback(self._stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def database(self, name: str, *, role: str, password: str) -> Database:
        """Create a database and the role that owns it."""
        self.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        self.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(role)))
        return Database("127.0.0.1", self.port, name, role, password)

    def execute(self, statement: Any) -> None:
        """Run a statement as the administrator."""
        admin = Database("127.0.0.1", self.port, "postgres", ADMIN, self._password)
        with closing(psycopg2.connect(admin.dsn)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def _stop(self) -> None:
        """Ask it to end at once, so that it puts its shared memory away."""
        pid = int((self.data / "postmaster.pid").read_text().split(maxsplit=1)[0])
        os.kill(pid, signal.SIGINT)
        end = time.monotonic() + PATIENCE
        while (self.data / "postmaster.pid").exists() and time.monotonic() < end:
            time.sleep(POLL)

    def _initialize(self, programs: str) -> None:
        password = self.folder / "password"
        password.write_text(self._password)
        if os.geteuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, USER)
        command = [*_as_user(), f"{programs}/initdb", "-D", str(self.data), "-U", ADMIN, "--no-sync", "-E", "UTF8"]
        done = subprocess.run(
            [*command, "--locale=C", "-A", "scram-sha-256", f"--pwfile={password}"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        password.unlink()


def _as_user() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    pwd.getpwnam(USER)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
