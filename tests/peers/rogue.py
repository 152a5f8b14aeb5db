"""
A loopback server that misbehaves exactly as told, and remembers what it was asked.

.. code-block:: python

    with Rogue(reply(b"<html>", status=403)) as sts:
        ...  # ask sts.url
        assert sts.requests[0].form["Action"] == "AssumeRole"
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import parse_headers
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from urllib.parse import parse_qsl

PATIENCE = 10.0
POLL = 0.02


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def everything(self) -> str:
        return f"{self.method} {self.target}\n{self.headers}\n{self.body.decode('latin-1')}"


class Peer:
    """One client, as a script sees it."""

    def __init__(self, connection: socket.socket, rogue: Rogue) -> None:
        self.connection = connection
        self._rogue = rogue
        self._file = connection.makefile("rb")

    def read(self) -> Request:
        """Read one whole request and remember it."""
        method, target, _ = self._file.readline().decode("latin-1").split(" ", 2)
        headers = parse_headers(self._file)
        request = Request(method, target, headers, self._file.read(int(headers["Content-Length"] or 0)))
        self._rogue.requests.append(request)
        return request

    def send(self, raw: bytes) -> None:
        self.connection.sendall(raw)
        self._rogue.sent += len(raw)

    def gone(self, seconds: float = PATIENCE) -> bool:
        """Wait for the client to leave, or for some seconds."""
        self.connection.settimeout(seconds)
        try:
            while self.connection.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


Script = Callable[[Peer], None]
"""What a server does with one connection; it is closed afterwards."""


class Rogue:
    """
    Serve on a free loopback port while the block lasts: the first script to the first client, the last to all others.

    :param tls: wraps each connection
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.sent = 0
        self._scripts = scripts
        self._tls = tls
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        rogue = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, ValueError):  # a client that leaves, or talks something else, is no news
                    rogue._serve(self.request)

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), daemon=True)

    def __enter__(self) -> Rogue:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def deserted(self, seconds: float = PATIENCE) -> bool:
        """Wait until no client is left, for at most some seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with self._changed:
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._open.add(connection)
        try:
            with closing(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection) as stream:
                script(Peer(stream, self))
        finally:
            with self._changed:
                self._open.remove(connection)
                self._changed.notify_all()


def response(body: bytes = b"", *, status: int = 200, length: int | None = None, **headers: str) -> bytes:
    """
    Write an HTTP response.

    :param length: what Content-Length claims, where that is not the truth
    :param headers: underscores stand for hyphens
    """
    fields = {"Content-Length": str(len(body) if length is None else length), "Connection": "close", **headers}
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def reply(body: bytes = b"", *, status: int = 200, length: int | None = None, **headers: str) -> Script:
    """Answer a request."""
    return say(response(body, status=status, length=length, **headers))


def say(raw: bytes) -> Script:
    """Answer a request with these bytes, whatever they are, and close."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(raw)

    return script


def hang(raw: bytes = b"") -> Script:
    """Answer a request with these bytes and then with nothing, forever."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(raw)
        peer.gone()

    return script


def drip(raw: bytes, *, after: int = 0, seconds: float = 1.0) -> Script:
    """Answer a request one byte at a time, after the first ``after`` bytes."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(raw[:after])
        for byte in raw[after:]:
            if peer.gone(seconds):
                return
            peer.send(bytes([byte]))

    return script


def flood(head: bytes, chunks: Iterable[bytes]) -> Script:
    """Answer a request with more than anyone wants, until the client leaves."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(head)
        for chunk in chunks:
            peer.send(chunk)

    return script


def deaf(peer: Peer) -> None:
    """Accept the connection and do nothing, forever."""
    peer.gone()


def close(peer: Peer) -> None:
    """Accept the connection and close it at once."""


def tunnel(peer: Peer) -> None:
    """Be an HTTP proxy: connect where a CONNECT asks, and carry bytes both ways."""
    request = peer.read()
    host, _, port = request.target.rpartition(":")
    if request.method != "CONNECT":
        raise ValueError(request.method)
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as server:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        there = threading.Thread(target=_carry, args=(peer.connection, server))
        there.start()
        _carry(server, peer.connection)
        there.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
