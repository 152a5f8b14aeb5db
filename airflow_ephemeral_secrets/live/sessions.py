"""Leases within this process, found by the capability that a connection holds: no port is opened."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable

from cachetools import LRUCache

from airflow_ephemeral_secrets.live.origin import Supplying
from airflow_ephemeral_secrets.shapes.live import Route

MOST = 4096
"""Where there are more, the one that was used least recently goes."""


class Sessions:
    """Keep what gives leases, for code of ours that a hook calls in the same process."""

    def __init__(self) -> None:
        self.close()

    def route(self, key: object, make: Callable[[], Supplying]) -> Route:
        """
        Open a route without a place, or give the one that is open.

        :param key: whoever asks for the same thing again gets the same route, and so the same connection
        :param make: makes what gives the leases, where none is open
        """
        with self._mutex:
            route = self._routes.get(key)
            if route is None or self._supplies.get(route.capability) is None:
                route = self._routes[key] = Route("", secrets.token_urlsafe(32))
                self._supplies[route.capability] = make()
            return route

    def supply(self, capability: str) -> Supplying | None:
        """Find what a capability leads to."""
        with self._mutex:
            return self._supplies.get(capability)

    def close(self) -> None:
        """Forget everything, as a forked child does, which asks anew."""
        self._mutex = threading.Lock()
        self._routes: LRUCache[object, Route] = LRUCache(MOST)
        self._supplies: LRUCache[str, Supplying] = LRUCache(MOST)


SESSIONS = Sessions()
"""Those of this process."""

os.register_at_fork(after_in_child=SESSIONS.close)
