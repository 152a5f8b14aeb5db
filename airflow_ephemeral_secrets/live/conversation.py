"""Talking HTTP/1.1 with one client, by h11: who is let in, within which bounds, and what is never passed on."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_ephemeral_secrets.live.body import Body, Gone
from airflow_ephemeral_secrets.live.face import CHUNK, Answered, Asked, Doors, Face, end_to_end, refusal
from airflow_ephemeral_secrets.shapes.live import CAPABILITY

if TYPE_CHECKING:
    import h11

LARGEST_HEAD = 64 * 1024
HEAD = 10.0
"""Seconds for a whole head: from the start for a new client, from its first byte on a connection that was kept."""
IDLE = 120.0
"""Seconds that a connection may wait for its next request."""
STALL = 300.0
"""Seconds without a byte of a body, either way."""
LINGER = 2.0

NOT_HTTP = "this is not HTTP/1.1, or its head is over 64 KiB"
NOBODY = (
    f"{CAPABILITY} is missing or wrong, or its place was closed after a day without use: "
    "ask with the connection that Airflow gives, looked up anew"
)


class Conversation:
    """
    One client, request by request.

    :param client: the connection, which whoever gives it closes
    :param port: at which it was made
    :param idles: told that the client is between two requests, or no longer
    """

    def __init__(
        self, endpoint: Doors, client: socket.socket, port: int, idles: Callable[[bool], None] = lambda _: None
    ) -> None:
        import h11

        self._endpoint = endpoint
        self._port = port
        self._idles = idles
        self._client = client
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
        self._kept: dict[object, str] = {}
        self._head_only = False

    def hold(self) -> None:
        """Answer requests until one is the last; a connection that breaks off is no news."""
        import h11

        with suppress(Gone, OSError, h11.ProtocolError):
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            kept = False
            while self._answer_one(kept):
                self._wire.start_next_cycle()
                kept = True
            self._linger()

    def _answer_one(self, kept: bool) -> bool:
        """Answer one request; say whether another may follow on a connection that is kept for that."""
        import h11

        self._head_only = False
        try:
            request = self._head(kept)
        except h11.RemoteProtocolError as error:
            self._send(refusal(error.error_status_hint, NOT_HTTP))
            return False
        if request is None:
            return False
        self._client.settimeout(STALL)
        method, target = request.method.decode(), request.target.decode("ascii", "replace")
        self._head_only = method == "HEAD"
        headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw_items()]
        given = {name.lower(): value for name, value in headers}
        if request.http_version not in (b"1.1", b"1.0"):
            self._send(refusal(505, NOT_HTTP))
            return False
        if refused := self._refused(method, target, given):
            self._send(refused)
            return False
        proof = CAPABILITY.lower() if CAPABILITY.lower() in given else "authorization"
        if face := self._endpoint.face(given.get(proof, "").rpartition(" ")[2]):
            headers = _passed_on(headers, proof)
        elif not (face := self._endpoint.desk_at(target)):
            self._send(refusal(407, NOBODY))
            return False
        with Body(self._content(), expected=not {"content-length", "transfer-encoding"}.isdisjoint(given)) as body:
            answered = _answer(face, Asked(method, target, headers, body, self._kept))
            waits = self._wire.they_are_waiting_for_100_continue
            self._send(answered)
        if self._wire.their_state is h11.SEND_BODY and not waits:
            deque(self._content(), maxlen=0)
        return bool(self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE)

    def _refused(self, method: str, target: str, given: dict[str, str]) -> Answered | None:
        """Refuse whoever does not ask this very host for a path, and what no face could pass on."""
        here = f":{self._port}"
        if given.get("host") not in (f"127.0.0.1{here}", f"localhost{here}"):
            return refusal(421, "this endpoint is for 127.0.0.1 only")
        if not target.startswith("/") or method == "CONNECT":
            return refusal(400, "only paths are asked for here")
        if {"content-length", "transfer-encoding"} <= given.keys():
            return refusal(400, "a body has a length or comes in chunks, not both")
        if method == "TRACE":
            return refusal(405, "the answer to TRACE would show the credential")
        if "websocket" in given.get("upgrade", "").lower():
            return refusal(501, "a live connection carries HTTP requests, no websockets; try: live: false")
        return None

    def _head(self, kept: bool) -> h11.Request | None:
        """Read a head; None where the client has no more to ask."""
        import h11

        waits = kept and not self._wire.trailing_data[0]
        self._idles(waits)
        ends = time.monotonic() + (IDLE if waits else HEAD)
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            self._client.settimeout(max(0.001, ends - time.monotonic()))
            self._wire.receive_data(self._client.recv(CHUNK))
            if waits:
                self._idles(False)
                waits, ends = False, time.monotonic() + HEAD
        return event if isinstance(event, h11.Request) else None

    def _content(self) -> Iterator[bytes]:
        """Give the body, piece by piece."""
        import h11

        try:
            while not isinstance(event := self._wire.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                    continue
                if self._wire.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    self._client.sendall(self._wire.send(go_on) or b"")
                self._wire.receive_data(self._client.recv(CHUNK))
        except (OSError, h11.RemoteProtocolError) as error:
            gone = type(error).__name__
        else:
            return
        raise Gone(gone)

    def _send(self, answered: Answered) -> None:
        import h11

        try:
            try:
                data = self._wire.send(_head(answered)) or b""
            except h11.LocalProtocolError:
                answered = refusal(502, "the API's answer has a head that is not HTTP")
                data = self._wire.send(_head(answered)) or b""
            if not any(name.lower() == "content-length" for name, _ in answered.headers):
                self._client.sendall(data)  # a body that comes when it comes, such as a stream of events
                data = b""
            for piece in () if self._head_only else answered.content:
                self._client.sendall(data + (self._wire.send(h11.Data(data=piece)) or b""))
                data = b""
            self._client.sendall(data + (self._wire.send(h11.EndOfMessage()) or b""))
        finally:
            if close := getattr(answered.content, "close", None):
                close()

    def _linger(self) -> None:
        """Let the client read our last answer: to close at once on what it still sends would take that back."""
        self._client.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + LINGER
        while (left := ends - time.monotonic()) > 0:
            self._client.settimeout(left)
            if not self._client.recv(CHUNK):
                return


def _answer(face: Face, asked: Asked) -> Answered:
    try:
        return face.answer(asked)
    except Gone:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__} at {os.path.basename(place.filename)}:{place.lineno}"
        return refusal(500, f"an error of ours, {told}; please report it")


def _head(answered: Answered) -> h11.Response:
    import h11

    known = answered.status in HTTPStatus._value2member_map_
    return h11.Response(
        status_code=answered.status,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in answered.headers],
        reason=HTTPStatus(answered.status).phrase if known else "",
    )


def _passed_on(headers: list[tuple[str, str]], proof: str) -> list[tuple[str, str]]:
    ours = (proof, "host", "expect")
    return [(name, value) for name, value in end_to_end(headers) if name.lower() not in ours]


def turn_away(client: socket.socket) -> None:
    """Tell a client that there is no room, whatever it asks."""
    import h11

    answered = refusal(503, "too many requests are under way; try: again later")
    with suppress(OSError):
        client.settimeout(LINGER)
        client.sendall((h11.Connection(h11.SERVER).send(_head(answered)) or b"") + b"".join(answered.content))
        client.shutdown(socket.SHUT_WR)
        client.recv(LARGEST_HEAD)
