"""
OpenSSH's own server, which takes keys, and asyncssh's, which takes passwords: neither needs to be root.

.. code-block:: python

    with OpenSsh(key) as server:
        ...  # server.port, server.host_key, and server.login, whose key it is
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.peers.installed import sshd
from tests.peers.process import Process

READY = r"Server listening on 127\.0\.0\.1 port (\d+)"
CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
AuthorizedKeysFile {folder}/authorized_keys
Subsystem sftp internal-sftp
LogLevel VERBOSE
"""


def private(passphrase: str = "") -> str:
    """Make a private key, as ``ssh-keygen -t ed25519`` does."""
    encrypted = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encrypted).decode()


def public(key: str, passphrase: str = "") -> str:
    """Give the public key of a private one: its type and its base64."""
    loaded = serialization.load_ssh_private_key(key.encode(), passphrase.encode() or None)
    pem = loaded.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return pem.decode()


class OpenSsh:
    """
    Take these keys while the block lasts.

    :param authorized: public keys of whoever runs the tests
    """

    def __init__(self, *authorized: str) -> None:
        self.login = getpass.getuser()
        self._authorized = authorized
        self._stack = ExitStack()

    def __enter__(self) -> OpenSsh:
        program = sshd()
        if os.geteuid() == 0:  # its own service makes this folder, and is not started
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="airflow-ephemeral-peer-")))
            key = private()
            (folder / "host_key").touch(mode=0o600)
            (folder / "host_key").write_text(key)
            (folder / "authorized_keys").write_text("\n".join(self._authorized) + "\n")
            (folder / "config").write_text(CONFIG.format(folder=folder, port=_free()))
            self.host_key = public(key)
            self.process = stack.enter_context(
                Process([program, "-D", "-e", "-f", str(folder / "config")], ready=READY)
            )
            self.port = int(self.process.said[1])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()


class PasswordSsh:
    """
    Take this login and password while the block lasts; each command is answered by its own text.

    :param folder: what SFTP shows
    """

    def __init__(self, login: str, password: str, folder: Path) -> None:
        self.login, self._password, self._folder = login, password, folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> PasswordSsh:
        self._thread.start()
        key = private()
        self.host_key = public(key)
        self._server = asyncio.run_coroutine_threadsafe(self._listen(key), self._loop).result()
        self.port = int(self._server.get_port())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self, key: str):  # type: ignore[no-untyped-def]
        import asyncssh

        right = (self.login, self._password)

        class Door(asyncssh.SSHServer):  # type: ignore[misc]
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == right

        def echo(process: asyncssh.SSHServerProcess) -> None:  # type: ignore[type-arg]
            process.stdout.write(process.command)
            process.exit(0)

        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Door,
            server_host_keys=[asyncssh.import_private_key(key)],
            process_factory=echo,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self._folder).encode()),
        )

    async def _stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()


def _free() -> int:
    """Find a port that is free: sshd does not take 0 for any."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
