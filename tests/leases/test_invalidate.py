"""Taking a lease back: in this process, on this host, and in every process that holds it in memory."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.made import KEY, OTHER, REFUSED, Provider, Start, acquire, answer, threads, until
from tests.leases.processes import Worker
from tests.leases.worker import INSTALLATION


def lease_id(cache: LeaseCache, provider: Provider) -> str:
    return acquire(cache, provider).lease.lease_id


@pytest.mark.parametrize("start", ["alone", "processes"])
def test_next_lookup_mints(clock: FakeClock, provider: Provider, start: str, request: pytest.FixtureRequest) -> None:
    """A lease is taken back once, by its id, and the next lookup mints."""
    cache: LeaseCache = request.getfixturevalue(start)(clock)
    taken = lease_id(cache, provider)

    assert [cache.invalidate(taken) for _ in range(2)] == [True, False]
    assert [answer(cache, provider) for _ in range(2)] == ["token-2"] * 2


@pytest.mark.parametrize("by", ["the one who minted", "one who was served", "one who never looked"])
def test_everyone_forgets(clock: FakeClock, processes: Start, provider: Provider, by: str) -> None:
    """Whoever takes a lease back, nobody on the host is served it again, and one mints the next for all."""
    caches = [processes(clock) for _ in range(3)]
    taken = {lease_id(cache, provider) for cache in caches[:2]}
    who = ["the one who minted", "one who was served", "one who never looked"].index(by)

    assert caches[who].invalidate(*taken)

    assert [answer(cache, provider) for cache in caches] == ["token-2"] * 3
    assert len(provider.asked) == 2


def test_newer_lease_stays(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """A lease that has taken the place of the one taken back is served on, from memory where it was there."""
    one, other = processes(clock), processes(clock)
    taken = lease_id(one, provider)
    clock.advance(700)
    assert answer(other, provider) == "token-2"

    one.invalidate(taken)
    other.invalidate(taken)

    assert [answer(cache, provider) for cache in (one, other)] == ["token-2"] * 2
    assert len(provider.asked) == 2


def test_older_lease_that_lives_in_memory(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """
    A lease is taken back also where only memory holds it, because the host has a newer one.

    Two leases of a key live at once after the wall clock was wrong for a moment.
    """
    one, other, third = (processes(clock) for _ in range(3))
    taken = lease_id(one, provider)
    assert answer(third, provider) == "token-1"
    clock.step(3_600)
    assert answer(other, provider) == "token-2"
    clock.step(-3_600)
    assert answer(one, provider) == "token-1"

    assert one.invalidate(taken)

    assert [answer(cache, provider) for cache in (one, third, other)] == ["token-2"] * 3
    assert len(provider.asked) == 2


@pytest.mark.parametrize("unknown", ["0" * 12, "", "../locks"])
def test_unknown_lease(clock: FakeClock, processes: Start, provider: Provider, unknown: str) -> None:
    """An id that nobody holds takes nothing back, and costs nobody what is held in memory."""
    one, other = processes(clock), processes(clock)
    answer(one, provider), answer(other, provider)

    assert not one.invalidate(unknown)

    assert [acquire(cache, provider).origin for cache in (one, other)] == ["memory"] * 2


def test_other_keys_stay(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """Taking back one lease costs no other key a mint, in any process."""
    one, other = processes(clock), processes(clock)
    for cache in (one, other):
        answer(cache, provider), answer(cache, provider, key=OTHER)

    one.invalidate(lease_id(other, provider))

    assert [answer(cache, provider, key=OTHER) for cache in (one, other)] == ["token-2"] * 2
    assert len(provider.asked) == 2


def test_clear(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """A host store that was cleared is cleared for everyone, remembered failures included."""
    one, other = processes(clock), processes(clock)
    for cache in (one, other):
        answer(cache, provider)
    provider.errors = iter([REFUSED])
    refused = answer(one, provider, key=OTHER)
    assert answer(other, provider, key=OTHER) == refused

    assert one.host
    one.host.clear()

    assert [answer(cache, provider) for cache in (one, other)] == ["token-3"] * 2
    assert [answer(cache, provider, key=OTHER) for cache in (other, one)] == ["token-4"] * 2


@pytest.mark.parametrize("start", ["alone", "processes"])
@pytest.mark.parametrize("fails", [False, True], ids=["mint succeeds", "mint fails"])
def test_taken_back_during_its_refresh(
    clock: FakeClock, provider: Provider, start: str, fails: bool, request: pytest.FixtureRequest
) -> None:
    """A lease taken back while another process refreshes it is not served afterwards, even if the refresh fails."""
    open_cache: Start = request.getfixturevalue(start)
    one = open_cache(clock)
    other = open_cache(clock) if start == "processes" else one
    taken = lease_id(one, provider)
    clock.advance(700)
    provider.gate, provider.errors = threading.Event(), iter([REFUSED] if fails else [])

    with threads(1, lambda: answer(one, provider)):
        until(lambda: len(provider.asked) == 2)
        assert other.invalidate(taken)
        provider.gate.set()

    clock.advance(5)
    assert {answer(cache, provider) for cache in (one, other)} == {"token-3" if fails else "token-2"}


def test_failure_does_not_hold_up_the_next(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """What backs off under a living lease, a minute at most, holds nobody up for over 5 s once it is taken back."""
    cache, provider.life = processes(clock), 3_600.0
    taken = lease_id(cache, provider)
    clock.advance(2_800)
    provider.errors = iter([REFUSED] * 4)
    for _ in range(60):
        answer(cache, provider)
        clock.advance(1)
    answer(cache, provider)

    cache.invalidate(taken)
    clock.advance(5)

    assert answer(cache, provider) == f"token-{len(provider.asked)}"


def test_store_that_becomes_unusable(
    clock: FakeClock, processes: Start, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host store fails, a lease is still taken back in this process, without an error of the kernel."""
    cache = processes(clock)
    taken = lease_id(cache, provider)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("unlink", "rename", "utime"):
        monkeypatch.setattr(os, name, fail)

    assert cache.invalidate(taken)

    assert cache.memory.get(KEY) is None


@pytest.fixture
def root(ram: Path) -> Path:
    return ram / "store"


@pytest.fixture
def server(root: Path) -> Iterator[Worker]:
    """Another process, which looks a lease up each time it is told to."""
    worker = Worker("serve", root)
    yield worker
    worker.ends()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("forget", ["discard", "clear"])
def test_other_process_forgets(server: Worker, root: Path, forget: str) -> None:
    """A real process that holds a lease in memory mints at the first lookup after it was taken back, and only then."""
    server.begins()
    origin, taken = server.says().split()
    assert origin == "minted"
    server.hears()
    assert server.says() == f"memory {taken}"

    with closing(HostStore(str(root), INSTALLATION)) as store:
        assert store.discard(KEY, taken) if forget == "discard" else store.clear() is None

    server.hears()
    origin, new = server.says().split()
    assert (origin, new == taken) == ("minted", False)
    server.hears()
    assert server.says() == f"memory {new}"
