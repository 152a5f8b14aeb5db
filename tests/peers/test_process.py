"""A peer's process starts whole or not at all, and never outlives whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.peers import installed
from tests.peers.process import Process

# Serves one client, until that client leaves.
SERVER = """
import os, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print("port", server.getsockname()[1], sorted(os.environ), flush=True)
    server.accept()[0].recv(1)
"""
STARTER = """
import sys
from tests.peers.process import Process
with Process([sys.executable, "-c", sys.argv[1]], ready="port") as process:
    print(process.log, flush=True)
    sys.stdin.read()
"""


def serving() -> Process:
    return Process([sys.executable, "-c", SERVER], ready=r"port (\d+)")


def connected(port: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(port)), timeout=10)


def ended(connection: socket.socket) -> bool:
    """Wait until the other end is gone."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_ends_with_its_block() -> None:
    """A server is gone when its block is left, and so is its folder."""
    with serving() as process:
        connection = connected(process.said[1])
    with connection:
        assert ended(connection)
    assert not process.folder.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_ends_with_its_starter(tmp_path: Path, how: signal.Signals) -> None:
    """However the tests end, killed ones too, their servers do."""
    command = [sys.executable, "-c", STARTER, SERVER]
    with subprocess.Popen(
        command,
        cwd=installed.ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as starter:
        assert starter.stdout is not None
        with closing(connected(starter.stdout.readline().split()[1].decode())) as connection:
            starter.send_signal(how)
            assert ended(connection)


def test_shows_why_it_did_not_start() -> None:
    """A server that ends before it serves is an error that shows what it wrote."""
    with (
        pytest.raises(RuntimeError, match="cannot serve today"),
        Process([sys.executable, "-c", "raise SystemExit('cannot serve today')"], ready="never"),
    ):
        pass


def test_gives_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment of the tests changes what a server does."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)

    with serving() as process:
        assert "SSL_CERT_FILE" not in process.log


@pytest.mark.parametrize(
    "find", [installed.node, installed.mitmdump, lambda: installed.npm("oidc-provider")], ids=["node", "mitm", "npm"]
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, find: Callable[[], object]) -> None:
    """A test whose server is not installed is skipped, naming the command that installs it."""
    monkeypatch.setattr(installed, "PEERS", tmp_path)

    with pytest.raises(pytest.skip.Exception, match=r"run \.ci/peers"):
        find()
