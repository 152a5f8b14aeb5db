"""
The loopback endpoint of this process: one server, started at its first use, that knows whom to let in.

Whoever is given a route is given a capability for it, a random word that goes with each request in a header of its own.
Clients of a desk cannot add a header: a desk has a path of its own, and its protocol's own way to prove the capability.
The server speaks HTTP/1.1 (h11), one thread for a connection, on a free port of 127.0.0.1. It ends with the process.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import NamedTuple, Protocol

from airflow_ephemeral_secrets.live import proxies
from airflow_ephemeral_secrets.live.body import Body
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, Route

IDLE = 120.0
MOST_CONNECTIONS = 128
CHUNK = 64 * 1024
POLL = 0.1


class Asked(NamedTuple):
    """
    A request as it came in.

    :param target: path and query, as they stand on the wire
    :param headers: without those that belong to this hop, and without the capability; for a desk, all of them
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: Body


class Answered(NamedTuple):
    """
    What goes back.

    :param content: pieces of the body as they come
    """

    status: int
    headers: list[tuple[str, str]]
    content: Iterator[bytes]


class Face(Protocol):
    """What answers behind a route."""

    def answer(self, asked: Asked) -> Answered:
        """Answer one request."""


class Endpoint:
    """Serve faces on loopback; nothing is started before the first route."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._server: _Server | None = None
        self._faces: dict[str, Face] = {}
        self._desks: dict[str, Face] = {}
        self._routes: dict[object, Route] = {}

    def route(self, key: object, make: Callable[[], Face]) -> Route:
        """
        Open a route to a face, or give the one that is open.

        :param key: whoever asks for the same thing again gets the same route, and so the same connection
        :param make: makes the face, where none is open
        """
        with self._mutex:
            if key not in self._routes:
                route = self._routes[key] = Route(self._url(), secrets.token_urlsafe(32))
                self._faces[route.capability] = make()
            return self._routes[key]

    def desk(self, key: object, make: Callable[[str], Face]) -> Route:
        """
        Open a route to a desk, or give the one that is open: its URL has a path, by which it is found.

        :param make: makes the desk, which itself demands the capability that it is given
        """
        with self._mutex:
            if key not in self._routes:
                proxies.bypass()
                name, capability = secrets.token_hex(8), secrets.token_urlsafe(32)
                self._routes[key] = Route(f"{self._url()}/{name}", capability)
                self._desks[name] = make(capability)
            return self._routes[key]

    def _url(self) -> str:
        self._server = self._server or _Server(self)
        return f"http://127.0.0.1:{self._server.port}"

    def face(self, capability: str) -> Face | None:
        """Find the face that a capability lets in to."""
        given = capability.encode()
        return next((face for known, face in self._faces.items() if hmac.compare_digest(known.encode(), given)), None)

    def desk_at(self, target: str) -> Face | None:
        """Find the desk that a path leads to."""
        return self._desks.get(target.partition("?")[0].removeprefix("/").partition("/")[0])

    def close(self) -> None:
        """Stop serving."""
        with self._mutex:
            server, self._server = self._server, None
            self._faces.clear()
            self._desks.clear()
            self._routes.clear()
        if server:
            server.stop()

    def forked(self) -> None:
        """Start anew in a forked child, which has none of its parent's threads."""
        self._mutex = threading.Lock()
        if self._server:
            with suppress(OSError):
                self._server.socket.close()
        self._server = None
        self._faces = {}
        self._desks = {}
        self._routes = {}


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.endpoint = endpoint
        self.room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.port = int(self.server_address[1])
        threading.Thread(
            target=self.serve_forever, args=(POLL,), name="airflow-ephemeral-endpoint", daemon=True
        ).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a connection that breaks off is no news, and nothing of a request may reach a log."""


class _Connection(BaseRequestHandler):
    """One client, request by request."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        import h11

        if not self.server.room.acquire(blocking=False):
            return
        try:
            self.request.settimeout(IDLE)
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wire = h11.Connection(h11.SERVER)
            while self._serve_one():
                self._wire.start_next_cycle()
        except (OSError, h11.RemoteProtocolError):
            return
        finally:
            self.server.room.release()

    def _serve_one(self) -> bool:
        """Answer one request; say whether another may follow."""
        import h11

        event = self._next()
        if not isinstance(event, h11.Request):
            return False
        headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers.raw_items()]
        target = event.target.decode("ascii", "replace")
        given = {name.lower(): value for name, value in headers}
        if refused := self._refused(given.get("host"), target):
            self._send(refused)
            return False
        if face := self.server.endpoint.face(given.get(CAPABILITY.lower(), "")):
            headers = _passed_on(headers)
        elif not (face := self.server.endpoint.desk_at(target)):
            self._send(refusal(407, f"{CAPABILITY} is missing or wrong: ask with the connection that Airflow gave"))
            return False
        with Body(self._content(), expected=not {"content-length", "transfer-encoding"}.isdisjoint(given)) as body:
            self._send(face.answer(Asked(event.method.decode(), target, headers, body)))
            body.drain()
        return bool(self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE)

    def _refused(self, host: str | None, target: str) -> Answered | None:
        """Refuse whoever does not ask this very host for a path."""
        here = f":{self.server.port}"
        if host not in (f"127.0.0.1{here}", f"localhost{here}"):
            return refusal(421, "this endpoint is for 127.0.0.1 only")
        return None if target.startswith("/") else refusal(400, "only paths are asked for here")

    def _next(self) -> object:
        import h11

        while (event := self._wire.next_event()) is h11.NEED_DATA:
            if self._wire.they_are_waiting_for_100_continue:
                self.request.sendall(self._wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            self._wire.receive_data(self.request.recv(CHUNK))
        return event

    def _content(self) -> Iterator[bytes]:
        import h11

        while isinstance(event := self._next(), h11.Data):
            yield bytes(event.data)

    def _send(self, answered: Answered) -> None:
        import h11

        head = h11.Response(status_code=answered.status, headers=answered.headers)
        self.request.sendall(self._wire.send(head) or b"")
        for piece in answered.content:
            self.request.sendall(self._wire.send(h11.Data(data=piece)) or b"")
        self.request.sendall(self._wire.send(h11.EndOfMessage()) or b"")


HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
"""Headers that belong to one hop (RFC 9110 section 7.6.1)."""


def end_to_end(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out the headers that belong to one hop, and those that ``Connection`` names."""
    named = {
        word.strip().lower() for name, value in headers if name.lower() == "connection" for word in value.split(",")
    }
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP | named]


def _passed_on(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    ours = (CAPABILITY.lower(), "host", "expect")
    return [(name, value) for name, value in end_to_end(headers) if name.lower() not in ours]


def refusal(status: int, why: str) -> Answered:
    """Answer in our own name, which a header tells."""
    body = f"airflow-ephemeral-secrets: {why}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("X-Airflow-Ephemeral", "refused"),
        ("Connection", "close"),
    ]
    return Answered(status, headers, iter([body]))


ENDPOINT = Endpoint()
"""That of this process."""

os.register_at_fork(after_in_child=ENDPOINT.forked)
