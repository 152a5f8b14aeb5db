"""Flights on one host: who may mint, who is overtaken, and what a fork or another store changes about it: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.leases.flight import GRACE, LANES
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.made import KEY, OTHER
from tests.leases.processes import Worker
from tests.leases.worker import INSTALLATION, UNTIL

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def root(ram: Path) -> Path:
    return ram / "store"


@pytest.fixture
def store(root: Path, clock: FakeClock) -> Iterator[HostStore]:
    with closing(HostStore(str(root), INSTALLATION, clock=clock)) as store:
        yield store


@pytest.fixture
def flying(root: Path) -> Iterator[Worker]:
    """Another process that holds the flight of a key, and has forked."""
    worker = Worker("fly_and_fork", root, KEY)
    yield worker
    worker.ends()


def rival(root: Path, key: str = KEY) -> bool:
    """Let another process try for a flight, and say whether it got it."""
    worker = Worker("fly", root, key).begins()
    try:
        return worker.says() == "True"
    finally:
        worker.ends()


def flies(store: HostStore, until: float = UNTIL) -> bool:
    with store.flight(KEY, until) as mine:
        return mine


def test_fork(flying: Worker, store: HostStore, root: Path) -> None:
    """
    A child gets no flight of its parent's, even if another thread held the locks of flights at the fork.

    Nor does it end one, whatever it closes; when the parent lands, others may fly.
    """
    flying.begins()
    assert flying.says() == "flying True"
    assert flying.says() == "child False True"
    assert flying.says() == "child ended"
    assert not flies(store)

    flying.hears()
    assert flying.says() == "landed"
    assert flies(store)


def test_child_lets_go_of_its_parents_store(store: HostStore, root: Path) -> None:
    """A child that closes what it inherited keeps the flight it took with a store of its own, and leaks nothing."""
    child = Worker("inherit", root).begins()
    try:
        assert child.says() == "flying True"
        assert not flies(store)
        child.hears()
        assert child.says() == "3", "the directory, the locks and the epoch are closed"
    finally:
        child.ends()


@pytest.mark.parametrize(("late", "overtakes"), [(-5.0, False), (0.0, False), (GRACE, False), (GRACE + 0.1, True)])
def test_overtaken_after_its_deadline(
    flying: Worker, store: HostStore, root: Path, clock: FakeClock, late: float, overtakes: bool
) -> None:
    """A leader that still flies is overtaken once its deadline and a grace are over, and not a moment before."""
    flying.begins()
    assert flying.says() == "flying True"
    clock.boot = UNTIL + late

    assert flies(store) == overtakes


def test_leader_that_has_just_taken_off(store: HostStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader is not overtaken for the deadline of the one before it, at no instruction of its take-off."""
    assert flies(store, until=1.0)
    rivals: list[bool] = []
    write = os.pwrite

    def slowly(descriptor: int, content: bytes, place: int) -> int:
        rivals.append(rival(root))
        return write(descriptor, content, place)

    monkeypatch.setattr(os, "pwrite", slowly)
    with store.flight(KEY, UNTIL) as mine:
        assert mine
        assert rivals == [False]


def test_another_store_of_this_process(store: HostStore, root: Path) -> None:
    """A second store that is closed, in a process that flies with the first, ends no flight of the first."""
    other = HostStore(str(root), INSTALLATION)

    with store.flight(KEY, UNTIL) as mine:
        assert mine
        other.close()
        assert not rival(root)


def test_many_keys(store: HostStore) -> None:
    """Landing gives back every lock and every word of who flies, for as many keys as there may be."""
    for _ in range(LANES + 1):
        with store.flight(KEY, UNTIL) as one, store.flight(OTHER, UNTIL) as two:
            assert (one, two) == (True, True)
