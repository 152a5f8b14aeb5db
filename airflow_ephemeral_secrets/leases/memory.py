"""Leases of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cachetools import LRUCache, TLRUCache

from airflow_ephemeral_secrets.clock import Clock
from airflow_ephemeral_secrets.leases.failure import Failure
from airflow_ephemeral_secrets.leases.lease import Lease, LeaseKey

CAPACITY = 1_000


def _end(_key: LeaseKey, lease: Lease, _now: float) -> float:
    return lease.issued_boot + lease.life


class MemoryStore:
    """
    Hold leases until they expire, the least used leaving first when there are too many.

    :param clock: its boot clock decides when a lease leaves
    :param capacity: how many leases at most
    """

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._mutex = threading.Lock()
        self._leases: TLRUCache[LeaseKey, Lease] = TLRUCache(capacity, ttu=_end, timer=lambda: clock.now().boot)
        self._failures: LRUCache[LeaseKey, Failure] = LRUCache(capacity)
        self._flying: dict[LeaseKey, object] = {}

    def get(self, key: LeaseKey) -> Lease | None:
        with self._mutex:
            return self._leases.get(key)

    def put(self, key: LeaseKey, lease: Lease) -> None:
        with self._mutex:
            self._leases[key] = lease
            self._failures.pop(key, None)

    def failure(self, key: LeaseKey) -> Failure | None:
        with self._mutex:
            return self._failures.get(key)

    def fail(self, key: LeaseKey, failure: Failure) -> None:
        with self._mutex:
            self._failures[key] = failure

    def recovered(self, key: LeaseKey) -> None:
        with self._mutex:
            self._failures.pop(key, None)

    def close(self) -> None:
        """Hold nothing open."""

    def leases(self) -> list[tuple[LeaseKey, Lease]]:
        with self._mutex:
            return list(self._leases.items())

    def discard(self, key: LeaseKey, lease_id: str) -> bool:
        with self._mutex:
            held = self._leases.get(key)
            if held is None or held.lease_id != lease_id:
                return False
            del self._leases[key]
            return True

    def clear(self) -> None:
        with self._mutex:
            self._leases.clear()
            self._failures.clear()

    def epoch(self) -> int:
        return 0

    @contextmanager
    def flight(self, key: LeaseKey, until: float) -> Iterator[bool]:
        flight = object()
        try:
            # a signal handler may raise between any two steps: what is undone below is told by the dict alone
            with self._mutex:
                mine = self._flying.setdefault(key, flight) is flight
            yield mine
        finally:
            with self._mutex:
                if self._flying.get(key) is flight:
                    del self._flying[key]
