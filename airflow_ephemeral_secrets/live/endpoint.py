"""
The loopback endpoint of this process: one server, started at its first use, that knows whom to let in.

Whoever is given a route is given a capability for it, a random word that goes with each request: in a header of its
own, or as a token where a client has no header to spare. Clients of a desk prove it as their protocol does; a desk has
a path of its own.
A place that nobody used for a day is closed, and so is the one that was used least recently where there are too many.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock
from airflow_ephemeral_secrets.live import proxies
from airflow_ephemeral_secrets.live.face import Face
from airflow_ephemeral_secrets.live.server import Server
from airflow_ephemeral_secrets.shapes.live import Route

MOST_PLACES = 4096
"""More than a triggerer has triggers, so that none of those goes."""
UNUSED = 24 * 3600.0
"""Seconds after which a place that nobody used is closed; a sensor may poke as seldom as that."""


@dataclass
class _Place:
    key: object
    route: Route
    face: Face
    used: float
    stays: bool = False


class Endpoint:
    """
    Serve faces on loopback; nothing is started before the first route.

    :param clock: its boot clock says what was not used for long
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._server: Server | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._mutex = threading.Lock()
        self._doors: dict[object, bytes | str] = {}
        self._places: OrderedDict[bytes | str, _Place] = OrderedDict()

    def route(self, key: object, make: Callable[[], Face]) -> Route:
        """
        Open a route to a face, or give the one that is open.

        :param key: whoever asks for the same thing again gets the same route, and so the same connection
        :param make: makes the face, where none is open
        """
        return self._open(key, lambda word: (_digest(word), self._url(), make()))

    def desk(self, key: object, make: Callable[[str], Face], *, stays: bool = False) -> Route:
        """
        Open a route to a desk, or give the one that is open: its URL has a path, by which it is found.

        :param make: makes the desk, which itself demands the capability that it is given
        :param stays: whether it is never closed, for the environment of this process names it
        """
        name = secrets.token_hex(8)
        return self._open(key, lambda word: (name, f"{self._url()}/{name}", make(word)), stays=stays)

    def _open(self, key: object, make: Callable[[str], tuple[bytes | str, str, Face]], *, stays: bool = False) -> Route:
        with self._mutex:
            if key in self._doors and (known := self._used(self._doors[key])):
                return known.route
            capability = secrets.token_urlsafe(32)
            door, url, face = make(capability)
            self._doors[key] = door
            self._places[door] = _Place(key, Route(url, capability), face, self._clock.now().boot, stays)
            if len(self._places) > MOST_PLACES and (oldest := self._oldest()):
                self._shut(oldest)
            return Route(url, capability)

    def _used(self, door: bytes | str) -> _Place | None:
        """Find an open place and note that it is used, which those are not that have been unused for too long."""
        now = self._clock.now().boot
        while (oldest := self._oldest()) and self._places[oldest].used + UNUSED < now:
            self._shut(oldest)
        if place := self._places.get(door):
            place.used = now
            self._places.move_to_end(door)
        return place

    def _oldest(self) -> bytes | str | None:
        return next((door for door, place in self._places.items() if not place.stays), None)

    def _shut(self, door: bytes | str) -> None:
        del self._doors[self._places.pop(door).key]

    def _url(self) -> str:
        if not self._server:
            proxies.bypass()
            self._server = Server(self)
        return f"http://127.0.0.1:{self._server.port}"

    def face(self, capability: str) -> Face | None:
        """Find the face that a capability lets in to; how long that takes tells nothing about any other."""
        with self._mutex:
            place = self._used(_digest(capability))
        return place.face if place and hmac.compare_digest(place.route.capability, capability) else None

    def desk_at(self, target: str) -> Face | None:
        """Find the desk that a path leads to."""
        with self._mutex:
            place = self._used(target.partition("?")[0].removeprefix("/").partition("/")[0])
        return place.face if place else None

    def close(self) -> None:
        """Stop serving."""
        with self._mutex:
            server, self._server = self._server, None
            self._doors.clear()
            self._places.clear()
        if server:
            server.stop()

    def forked(self) -> None:
        """Start anew in a forked child, which has none of its parent's threads and shall hold none of its sockets."""
        if self._server:
            self._server.forked()
        self._server = None
        self._start_anew()


def _digest(capability: str) -> bytes:
    return sha256(capability.encode()).digest()


ENDPOINT = Endpoint()
"""That of this process."""

os.register_at_fork(after_in_child=ENDPOINT.forked)
