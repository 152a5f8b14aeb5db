"""The store of one process."""

from __future__ import annotations

import threading

import pytest

from airflow_ephemeral_secrets.leases.base import Store
from airflow_ephemeral_secrets.leases.lease import LeaseKey, lease_key
from airflow_ephemeral_secrets.leases.memory import MemoryStore
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.conformance import StoreConformance
from tests.leases.made import KEY, OTHER, failure, lease, threads
from tests.leases.worker import UNTIL


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return MemoryStore(clock)

    def rival(self, store: Store, key: LeaseKey) -> bool:
        def fly() -> bool:
            with store.flight(key, UNTIL) as mine:
                return mine

        with threads(1, fly) as answers:
            pass
        return bool(answers[0])


def test_expired_leases_leave(clock: FakeClock) -> None:
    """A lease leaves memory when its life by the boot clock is over."""
    store = MemoryStore(clock)
    store.put(KEY, lease(life=900))

    clock.advance(899)
    assert store.get(KEY)
    clock.advance(1)
    assert store.get(KEY) is None


def test_wall_clock_takes_nothing(clock: FakeClock) -> None:
    """A wall clock that is set for a moment makes nobody lose a lease: whether it lives is judged when it is used."""
    store = MemoryStore(clock)
    store.put(KEY, lease(life=900))

    clock.step(3_600)

    assert store.get(KEY) == lease(life=900)


def test_capacity(clock: FakeClock) -> None:
    """Memory is bounded for leases and for failures: what was used least recently makes room."""
    store = MemoryStore(clock, capacity=2)
    keys = [lease_key({"number": number}) for number in range(3)]
    for key in keys[:2]:
        store.put(key, lease())
        store.fail(key, failure())
    store.get(keys[0]), store.failure(keys[0])

    store.put(keys[2], lease())
    store.fail(keys[2], failure())

    assert [bool(store.get(key)) for key in keys] == [True, False, True]
    assert [bool(store.failure(key)) for key in keys] == [True, False, True]


def test_one_of_many_threads_flies(clock: FakeClock) -> None:
    """Of 16 threads that ask for a flight at once, one gets it."""
    store, together, landed = MemoryStore(clock), threading.Barrier(16), threading.Barrier(16)

    def fly() -> bool:
        together.wait(30)
        with store.flight(KEY, UNTIL) as mine, store.flight(OTHER, UNTIL):
            landed.wait(30)
            return mine

    with threads(16, fly) as answers:
        pass

    assert sorted(answers) == [False] * 15 + [True]
