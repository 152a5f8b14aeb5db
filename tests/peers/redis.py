"""
A real Redis that speaks TLS only, and knows nobody but the users it is given.

.. code-block:: python

    with Redis(authority, airflow="s3cret") as server:
        redis.Redis(port=server.port, username="airflow", password="s3cret", ssl=True, ssl_ca_certs=ca_file)
"""

from __future__ import annotations

import socket
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

import trustme

from tests.peers.installed import redis
from tests.peers.process import Process

MAY = "~* &* +@all"


class Redis:
    """
    Serve on a free loopback port while the block lasts.

    :param authority: signs its certificate
    :param users: the password of each ACL user; anybody else is refused
    """

    def __init__(self, authority: trustme.CA, **users: str) -> None:
        self._authority = authority
        self._users = users
        self._stack = ExitStack()

    def __enter__(self) -> Redis:
        program = redis()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ephemeral-redis-")))
            certificate, settings = folder / "certificate.pem", folder / "redis.conf"
            self._authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
            with closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])
            lines = [
                "port 0",
                f"tls-port {self.port}",
                "bind 127.0.0.1",
                f"tls-cert-file {certificate}",
                f"tls-key-file {certificate}",
                f"tls-ca-cert-file {certificate}",
                "tls-auth-clients no",
                'save ""',
                *(["user default off"] if "default" not in self._users else []),
                *(f"user {user} on >{password} {MAY}" for user, password in self._users.items()),
            ]
            settings.write_text("\n".join(lines))
            self.process = stack.enter_context(Process([program, str(settings)], ready="Ready to accept connections"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
