"""
A real MariaDB, for users with passwords of their own; it takes no password over a connection that is not encrypted.

.. code-block:: python

    with MariaDb(authority, airflow="s3cret") as mariadb:
        MySQLdb.connect(host="127.0.0.1", port=mariadb.port, user="airflow", passwd="s3cret", ssl_mode="REQUIRED")
"""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

import trustme

from tests.peers.installed import mariadb
from tests.peers.process import Process

DATABASE = "shop"


class MariaDb:
    """
    Serve on a free loopback port while the block lasts.

    :param authority: signs its certificate
    :param users: the password of each user
    """

    def __init__(self, authority: trustme.CA, **users: str) -> None:
        self._authority = authority
        self._users = users
        self._stack = ExitStack()

    def __enter__(self) -> MariaDb:
        install, program = mariadb()
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="airflow-ephemeral-mariadb-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            options = self._options()
            subprocess.run(
                [install, "--no-defaults", *options, "--skip-test-db", "--auth-root-authentication-method=normal"],
                check=True,
                capture_output=True,
            )
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])
            command = [program, "--no-defaults", *options, *self._serving()]
            self.process = stack.enter_context(Process(command, ready="ready for connections"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _options(self) -> list[str]:
        return [f"--datadir={self.folder / 'data'}", f"--user={getpass.getuser()}"]

    def _serving(self) -> list[str]:
        certificate, first = self.folder / "certificate.pem", self.folder / "first.sql"
        self._authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        statements = [f"CREATE DATABASE {DATABASE};"]
        for user, password in self._users.items():
            statements.append(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';")
            statements.append(f"GRANT ALL ON {DATABASE}.* TO '{user}'@'127.0.0.1';")
        first.write_text("\n".join(statements))
        return [
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={first}",
            f"--ssl-cert={certificate}",
            f"--ssl-key={certificate}",
            "--require-secure-transport=ON",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
        ]
