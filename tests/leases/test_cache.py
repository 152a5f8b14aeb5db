"""The decision ladder."""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airflow_ephemeral_secrets.clock import Deadline, Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import (
    AccessDenied,
    SourceFailed,
    SourceRefused,
    SourceUnavailable,
    StoreError,
)
from airflow_ephemeral_secrets.leases.base import Store
from airflow_ephemeral_secrets.leases.cache import POLL, RETRY_PAUSE, LeaseCache, within
from airflow_ephemeral_secrets.leases.failure import LONGEST_WAIT
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.leases.lease import LONGEST_LIFE, Lease, LeaseKey
from airflow_ephemeral_secrets.leases.memory import MemoryStore
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.made import (
    KEY,
    OTHER,
    REFUSED,
    SECRET,
    Provider,
    Start,
    StillClock,
    acquire,
    answer,
    failure,
    lease,
    threads,
    told,
    until,
    value,
)
from tests.leases.worker import UNTIL

DENIED = told(REFUSED)
FAILED = SourceFailed("sts answered 503", code="503", request_id="req-2")
ALWAYS = itertools.repeat
AGES = {"none": None, "fresh": 0.0, "advisory": 700.0, "mandatory": 850.0, "expired": 901.0}
"""Ages at which a lease of 15 minutes is what its row of the ladder says."""


@pytest.fixture
def cache(clock: FakeClock, alone: Start) -> LeaseCache:
    return alone(clock)


@pytest.fixture(params=["alone", "processes"])
def either(request: pytest.FixtureRequest) -> Start:
    """Start a process alone, or one with a host store."""
    start: Start = request.getfixturevalue(request.param)
    return start


def hold(cache: LeaseCache, provider: Provider, clock: FakeClock, row: str) -> None:
    """Let a lease be held as the row of the ladder says, and forget that the provider was asked for it."""
    if (age := AGES[row]) is not None:
        assert answer(cache, provider) == "token-1"
        clock.advance(age)


# the ladder ----------------------------------------------------------------------------------------------------------

ANSWERS, REFUSES = None, REFUSED
NOBODY, SOMEBODY = False, True


@pytest.mark.parametrize(
    ("row", "error", "flying", "expected", "asked", "waited"),
    [
        ("fresh", ANSWERS, NOBODY, "token-1", 0, 0),
        ("fresh", REFUSES, NOBODY, "token-1", 0, 0),
        ("fresh", ANSWERS, SOMEBODY, "token-1", 0, 0),
        ("advisory", ANSWERS, NOBODY, "token-2", 1, 0),
        ("advisory", REFUSES, NOBODY, "token-1", 1, 0),
        ("advisory", ANSWERS, SOMEBODY, "token-1", 0, 0),
        ("mandatory", ANSWERS, NOBODY, "token-2", 1, 0),
        ("mandatory", REFUSES, NOBODY, "token-1", 1, 0),
        ("mandatory", ANSWERS, SOMEBODY, "token-1", 0, 10),
        ("expired", ANSWERS, NOBODY, "token-2", 1, 0),
        ("expired", REFUSES, NOBODY, DENIED, 1, 0),
        ("expired", ANSWERS, SOMEBODY, "SourceFailed timeout", 0, 10),
        ("none", ANSWERS, NOBODY, "token-1", 1, 0),
        ("none", REFUSES, NOBODY, DENIED, 1, 0),
        ("none", ANSWERS, SOMEBODY, "SourceFailed timeout", 0, 10),
    ],
)
def test_ladder(
    clock: FakeClock,
    cache: LeaseCache,
    provider: Provider,
    row: str,
    error: Exception | None,
    flying: bool,
    expected: str,
    asked: int,
    waited: float,
) -> None:
    """
    The table in the module's docstring.

    Somebody who flies for the key is waited for only where the row says so, and then until the deadline.
    """
    hold(cache, provider, clock, row)
    provider.errors = ALWAYS(error)
    before, start = len(provider.asked), clock.boot

    with cache.memory.flight(KEY, UNTIL) if flying else nullcontext():
        got = answer(cache, provider)

    assert got.startswith(expected)
    assert len(provider.asked) - before == asked
    assert waited <= clock.boot - start <= waited + POLL[1]


@pytest.mark.parametrize("row", ["mandatory", "expired", "none"])
@pytest.mark.parametrize("error", [ANSWERS, REFUSES], ids=["answers", "refuses"])
def test_one_mint_for_sixteen_threads(either: Start, row: str, error: Exception | None) -> None:
    """Of 16 threads that need a new lease one asks, and all get its answer or its error, or go on with what lives."""
    clock, provider = StillClock(), Provider()
    cache = either(clock)
    hold(cache, provider, clock, row)
    provider.gate, provider.errors, before = threading.Event(), ALWAYS(error), len(provider.asked)

    with threads(16, lambda: answer(cache, provider)) as answers:
        for _ in range(15):
            assert clock.waiting.acquire(timeout=10), "all but the one who asks are waiting"
        provider.gate.set()

    expected = f"token-{before + 1}" if error is ANSWERS else "token-1" if row == "mandatory" else DENIED
    assert len(provider.asked) - before == 1
    assert answers == [expected] * 16


def test_taken_back_while_others_wait(processes: Start) -> None:
    """A lease that is taken back is not served to those who wait for the one after it, from their memory."""
    clock, provider = StillClock(), Provider()
    mine, other, operator = processes(clock), processes(clock), processes(clock)
    hold(mine, provider, clock, "mandatory")
    go_on = threading.Event()
    slow = Provider(gate=go_on)
    slow.errors = ALWAYS(REFUSED)
    held = mine.peek(KEY)
    assert held

    with threads(1, lambda: answer(other, slow)) as leader:
        until(lambda: len(slow.asked) == 1)
        with threads(1, lambda: answer(mine, provider)) as follower:
            assert clock.waiting.acquire(timeout=10), "it waits"
            assert operator.invalidate(held.lease.lease_id)
            go_on.set()

    assert (leader, follower) == ([DENIED], [DENIED])


def test_refresh_holds_up_nobody(either: Start) -> None:
    """While one thread refreshes in the advisory window, all others are served the living lease without waiting."""
    clock, provider = StillClock(), Provider()
    cache = either(clock)
    hold(cache, provider, clock, "advisory")
    provider.gate = threading.Event()

    with threads(1, lambda: answer(cache, provider)) as refresher:
        until(lambda: len(provider.asked) == 2)
        with threads(15, lambda: answer(cache, provider)) as others:
            pass
        provider.gate.set()

    assert (others, refresher) == (["token-1"] * 15, ["token-2"])
    assert len(provider.asked) == 2


def test_keys_do_not_wait_for_each_other(cache: LeaseCache, provider: Provider) -> None:
    """A source that hangs for one key holds up no lookup of another."""
    hung = Provider(gate=threading.Event())

    with threads(1, lambda: answer(cache, hung)):
        until(lambda: bool(hung.asked))
        assert answer(cache, provider, key=OTHER) == "token-1"
        assert hung.gate
        hung.gate.set()


@pytest.mark.parametrize(
    ("row", "origin"), [("none", "minted"), ("fresh", "memory"), ("advisory", "minted"), ("expired", "minted")]
)
def test_origin(clock: FakeClock, cache: LeaseCache, provider: Provider, row: str, origin: str) -> None:
    """Who gets a lease is told where it came from."""
    hold(cache, provider, clock, row)

    assert acquire(cache, provider).origin == origin


def test_origin_host(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """A lease of another process comes from the host at first, and from memory from then on."""
    one, other = processes(clock), processes(clock)

    assert [acquire(one, provider).origin for _ in range(2)] == ["minted", "memory"]
    assert [acquire(other, provider).origin for _ in range(2)] == ["host", "memory"]


def test_newer_lease_of_another_process(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """In the refresh window the newer lease of another process takes the place of ours, and nothing is asked."""
    one, other = processes(clock), processes(clock)
    assert [answer(cache, provider) for cache in (one, other)] == ["token-1"] * 2
    clock.advance(700)

    assert [answer(cache, provider) for cache in (one, other)] == ["token-2"] * 2
    assert len(provider.asked) == 2


def test_fresh_lease_needs_no_host(clock: FakeClock, provider: Provider) -> None:
    """A lookup that memory can answer does not touch the host store."""
    looked = []

    class Watched(MemoryStore):
        def get(self, key: LeaseKey) -> Lease | None:
            looked.append(key)
            return super().get(key)

    cache = LeaseCache(clock, Random(7), lambda: Watched(clock))
    acquire(cache, provider)
    looked.clear()

    assert acquire(cache, provider).origin == "memory"
    assert not looked


def test_life_counts_from_the_question(clock: FakeClock, cache: LeaseCache, provider: Provider) -> None:
    """The time that a source takes to answer is part of the life of what it gives."""
    start = clock.now()

    def slow(asked: Instant) -> Credential:
        clock.advance(5)
        return provider(asked)

    lease = cache.acquire(KEY, slow, deadline=Deadline(clock, 10), hold=0).lease

    assert (lease.issued_wall, lease.issued_boot, provider.asked) == (*start, [start])


class Overtaken(MemoryStore):
    """A host store in which another process finishes just before we get the flight."""

    def __init__(self, clock: FakeClock, finish: Callable[[Store], None]) -> None:
        super().__init__(clock)
        self.finish = finish

    @contextmanager
    def flight(self, key: LeaseKey, until: float) -> Iterator[bool]:
        self.finish(self)
        with super().flight(key, until) as mine:
            yield mine


def test_overtaken_by_a_lease(clock: FakeClock, provider: Provider) -> None:
    """Whoever gets the flight just after another process has minted is served its lease, from the host."""
    store = Overtaken(clock, lambda store: store.put(KEY, lease("token-0", asked=clock.now())))
    cache = LeaseCache(clock, Random(7), lambda: store)

    held = acquire(cache, provider)

    assert (value(held), len(provider.asked)) == ("token-0", 0)
    assert held.origin == "host"


def test_overtaken_by_a_failure(clock: FakeClock, provider: Provider) -> None:
    """Whoever gets the flight just after another process has failed gets its error, and asks nothing."""
    store = Overtaken(clock, lambda store: store.fail(KEY, failure(now=clock.now())))
    cache = LeaseCache(clock, Random(7), lambda: store)

    assert (answer(cache, provider), len(provider.asked)) == (DENIED, 0)


# failure -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SourceRefused, SourceUnavailable, SourceFailed])
def test_failure_is_remembered(clock: FakeClock, cache: LeaseCache, provider: Provider, kind: Any) -> None:
    """Whoever asks within a second gets the same error without the source being asked; after 5 s it is asked again."""
    provider.errors = iter([kind("no", code="timeout", hint="wait", request_id="req-1")])
    first = answer(cache, provider)

    clock.advance(0.99)
    assert (answer(cache, provider), len(provider.asked)) == (first, 1)
    clock.advance(4.01)
    assert (answer(cache, provider), len(provider.asked)) == ("token-2", 2)


def test_failure_reaches_other_processes(clock: FakeClock, processes: Start, provider: Provider) -> None:
    """A process that did not ask gets the leader's error as the leader got it: class, code, hint and request id."""
    one, other = processes(clock), processes(clock)
    provider.errors = ALWAYS(REFUSED)

    assert [answer(cache, provider) for cache in (one, other)] == [DENIED] * 2
    assert len(provider.asked) == 1


def test_failures_are_apart(cache: LeaseCache, provider: Provider) -> None:
    """A failure of one key is nobody else's."""
    provider.errors = iter([REFUSED])

    assert answer(cache, provider) == DENIED
    assert answer(cache, provider, key=OTHER) == "token-2"


def test_outage_under_a_living_lease(clock: FakeClock, cache: LeaseCache) -> None:
    """While a refresh fails, the lease is served until its very end, and attempts back off to one a minute."""
    life = 12 * 3_600.0
    provider = Provider(life)
    answer(cache, provider)
    clock.advance(11 * 3_600)
    provider.errors = ALWAYS(REFUSED)

    while clock.boot < 1_000 + life:
        assert answer(cache, provider) == "token-1"
        clock.advance(1)
    assert answer(cache, provider) == DENIED

    gaps = [after.boot - before.boot for before, after in itertools.pairwise(provider.asked[1:])]
    assert gaps[0] <= 6
    assert max(gaps) <= 61
    assert len(gaps) < 130


def test_recovery_resets_the_back_off(clock: FakeClock, cache: LeaseCache, provider: Provider) -> None:
    """After a success the next outage starts with the shortest wait again."""
    for _ in range(2):
        provider.errors = iter(())
        assert answer(cache, provider).startswith("token")
        clock.advance(700)
        provider.errors = ALWAYS(REFUSED)
        before = len(provider.asked)
        while len(provider.asked) < before + 2:
            answer(cache, provider)
            clock.advance(0.1)
        assert provider.asked[-1].boot - provider.asked[-2].boot <= 5.2
        clock.advance(900)


@pytest.mark.parametrize("seed", range(5))
def test_back_off_ends_with_the_lease(clock: FakeClock, provider: Provider, seed: int) -> None:
    """Attempts back off for as long as a lease serves: once it has ended, no failure is kept for over 5 s."""
    cache = LeaseCache(clock, Random(seed), lambda: None)
    answer(cache, provider)
    clock.advance(640)
    provider.errors = ALWAYS(REFUSED)
    while clock.boot < 1_000 + 900:
        answer(cache, provider)
        clock.advance(1)
    provider.errors = iter(())

    clock.advance(5)

    assert answer(cache, provider).startswith("token")


def test_lease_that_ends_during_the_attempt(clock: FakeClock, cache: LeaseCache, provider: Provider) -> None:
    """A lease that ends while its refresh fails is not served."""
    hold(cache, provider, clock, "mandatory")

    def slow(_: Instant) -> Credential:
        clock.advance(60)
        raise REFUSED

    with pytest.raises(SourceRefused):
        cache.acquire(KEY, slow, deadline=Deadline(clock, 120), hold=0)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (SourceFailed("503", code="503"), 2),
        (SourceFailed("html", code="nonsense"), 2),
        (SourceFailed("busy", code="429", retry_after=4.9), 2),
        (SourceFailed("busy", code="429", retry_after=5.1), 1),
        (SourceFailed("busy", code="429", retry_after=3_600), 1),
        (SourceFailed("slow", code="timeout"), 1),
        (SourceFailed("dead", code="bad_lifetime"), 1),
        (SourceRefused("no"), 1),
        (SourceRefused("no", retry_after=1), 1),
        (SourceUnavailable("no identity"), 1),
        (ValueError("a bug"), 1),
    ],
    ids=lambda value: f"{type(value).__name__} {value}" if isinstance(value, Exception) else str(value),
)
def test_retry(cache: LeaseCache, provider: Provider, error: Exception, asked: int) -> None:
    """What may pass is tried once more, where half of the time left is enough to wait for it; nothing else is."""
    provider.errors = iter([error])

    got = answer(cache, provider)

    assert len(provider.asked) == asked
    assert got == "token-2" if asked == 2 else got.startswith("Source")


def test_retry_only_once(cache: LeaseCache, provider: Provider) -> None:
    """A source that fails twice is left alone, and the second failure is the one told."""
    provider.errors = iter([SourceFailed("first"), SourceFailed("second")])

    assert "second" in answer(cache, provider)
    assert len(provider.asked) == 2


@pytest.mark.parametrize(("retry_after", "least", "most"), [(None, *RETRY_PAUSE), (0.0, *RETRY_PAUSE), (3.0, 3.0, 3.0)])
def test_retry_pause(
    cache: LeaseCache, provider: Provider, retry_after: float | None, least: float, most: float
) -> None:
    """Before the second try there is a short pause, or the one that the provider asks for."""
    provider.errors = iter([SourceFailed("busy", retry_after=retry_after)])
    answer(cache, provider)

    first, second = provider.asked

    assert least <= round(second.boot - first.boot, 9) <= most


@pytest.mark.parametrize(("retry_after", "waited"), [(30.0, 30.0), (3_600.0, LONGEST_WAIT)])
@pytest.mark.parametrize("row", ["none", "advisory"])
def test_retry_after(
    clock: FakeClock, cache: LeaseCache, provider: Provider, row: str, retry_after: float, waited: float
) -> None:
    """A provider that names a time is not asked before it, nor is anybody kept from asking for over five minutes."""
    provider.life = 3_600.0
    if row == "advisory":
        answer(cache, provider)
        clock.advance(2_800)
    provider.errors = iter([SourceRefused("busy", retry_after=retry_after)])
    answer(cache, provider)
    before = len(provider.asked)

    clock.advance(waited - 0.1)
    answer(cache, provider)
    assert len(provider.asked) == before
    clock.advance(0.1)
    answer(cache, provider)
    assert len(provider.asked) == before + 1


@pytest.mark.parametrize("life", [0.0, -60.0, LONGEST_LIFE + 60])
@pytest.mark.parametrize(("row", "expected"), [("none", "SourceFailed bad_lifetime"), ("advisory", "token-1")])
def test_unbelievable_answer(
    clock: FakeClock, cache: LeaseCache, provider: Provider, life: float, row: str, expected: str
) -> None:
    """An answer that is dead already, or lives for over seven days, is a failure of the source: it is not held."""
    hold(cache, provider, clock, row)
    before, provider.life = cache.peek(KEY), life

    assert answer(cache, provider).startswith(expected)
    assert cache.peek(KEY) == before


@pytest.mark.parametrize("passes", [FakeClock.advance, FakeClock.step], ids=["suspended", "wall clock set"])
def test_answer_that_died_on_its_way(clock: FakeClock, cache: LeaseCache, passes: Any) -> None:
    """A credential that has expired by the time it arrives is never served."""
    provider = Provider()

    def slow(asked: Instant) -> Credential:
        credential = provider(asked)
        passes(clock, 3_600)
        return credential

    with pytest.raises(SourceFailed) as raised:
        cache.acquire(KEY, slow, deadline=Deadline(clock, 7_200), hold=0)
    assert raised.value.code == "bad_lifetime"


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), SystemExit(SECRET)])
def test_error_of_a_source_shows_nothing(cache: LeaseCache, provider: Provider, error: Exception) -> None:
    """An error that is not ours is told by its class alone, in the whole chain: its text may hold a secret."""
    provider.errors = iter([error])

    with pytest.raises(SourceFailed) as raised:
        acquire(cache, provider)

    assert raised.value.code == "unexpected"
    assert type(error).__name__ in str(raised.value)
    assert SECRET not in repr(raised.value) + repr(cache.memory.failure(KEY))
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


def test_other_errors_are_not_remembered(cache: LeaseCache, provider: Provider) -> None:
    """An error of ours that is no failed mint passes through as it is, and the next who asks is not kept waiting."""
    provider.errors = iter([AccessDenied("no such fact")])

    with pytest.raises(AccessDenied, match="no such fact"):
        acquire(cache, provider)

    assert answer(cache, provider) == "token-2"


# the deadline --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hung() -> Iterator[Provider]:
    """A provider that does not answer before the end of the test."""
    provider = Provider(gate=threading.Event())
    yield provider
    assert provider.gate
    provider.gate.set()
    for thread in threading.enumerate():
        if thread.name == "airflow-ephemeral-mint":
            thread.join(10)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("none", "SourceFailed timeout: no answer within 0.05 s"),
        ("expired", "SourceFailed timeout: no answer within 0.05 s"),
        ("advisory", "token-1"),
        ("mandatory", "token-1"),
    ],
)
def test_source_that_hangs(
    clock: FakeClock, cache: LeaseCache, provider: Provider, hung: Provider, row: str, expected: str
) -> None:
    """A source that does not answer is waited for until the deadline, once, and what lives is served."""
    hold(cache, provider, clock, row)

    assert answer(cache, hung, seconds=0.05).startswith(expected)
    assert len(hung.asked) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("none", "SourceFailed timeout"),
        ("expired", "SourceFailed timeout"),
        ("advisory", "token-1"),
        ("mandatory", "token-1"),
    ],
)
def test_out_of_time(clock: FakeClock, cache: LeaseCache, provider: Provider, row: str, expected: str) -> None:
    """Whoever has no time left does not ask, is served what lives, and leaves no failure for those who have time."""
    hold(cache, provider, clock, row)
    before = len(provider.asked)

    assert answer(cache, provider, seconds=0).startswith(expected)

    for thread in threading.enumerate():
        if thread.name == "airflow-ephemeral-mint":
            thread.join(10)
    assert (len(provider.asked) - before, cache.memory.failure(KEY)) == (0, None)


def test_within_gives_the_answer(clock: FakeClock) -> None:
    """What a bounded call returns or raises in time is returned and raised."""
    assert within(Deadline(clock, 10), lambda: 5) == 5

    def refuse() -> None:
        raise REFUSED

    with pytest.raises(SourceRefused) as raised:
        within(Deadline(clock, 10), refuse)
    assert raised.value is REFUSED


# what does not end by itself -----------------------------------------------------------------------------------------


def test_endless_credential_stays_here(clock: FakeClock, ram: Path, processes: Start) -> None:
    """A credential without an expiry is held in this process for the time told, and never reaches the host store."""
    one, other, provider = processes(clock), processes(clock), Provider(life=None)

    assert [answer(one, provider) for _ in range(2)] == ["token-1"] * 2
    assert answer(other, provider) == "token-2"
    assert not any(b"token-" in path.read_bytes() for path in ram.rglob("*") if path.is_file())
    clock.advance(300)
    assert answer(one, provider) == "token-3"


def test_success_ends_an_endless_credentials_failure(clock: FakeClock, processes: Start) -> None:
    """A success ends the failure of its key, also where the lease itself stays out of the host store."""
    cache, provider = processes(clock), Provider(life=None)
    provider.errors = iter([REFUSED])
    answer(cache, provider)
    clock.advance(5)

    assert answer(cache, provider) == "token-2"

    assert cache.host
    assert cache.host.failure(KEY) is None


# the host store ------------------------------------------------------------------------------------------------------

UNSAFE = StoreError("store directory /dev/shm/x is open to others", code="store_unsafe", hint="remove it")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_unsafe_store(clock: FakeClock, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """A store that is not safe is tried once, said once with its reason, and everything goes on in memory."""
    opened = []

    def refuse() -> Store:
        opened.append(1)
        raise UNSAFE

    cache = LeaseCache(clock, Random(7), refuse)

    for number in (1, 1, 2):
        assert answer(cache, provider) == f"token-{number}"
        clock.advance(350)
    assert warnings(caplog) == [f"{UNSAFE}; leases stay in the memory of this process"]
    assert len(opened) == 1
    assert cache.host is None


def test_store_is_opened_late_and_once(clock: FakeClock, provider: Provider) -> None:
    """Nothing is opened before the first lookup, and 16 threads that make it open one store."""
    opened: list[Store] = []

    def open_host() -> Store:
        opened.append(MemoryStore(clock))
        threading.Event().wait(0.05)
        return opened[0]

    cache = LeaseCache(clock, Random(7), open_host)
    assert not opened

    with threads(16, lambda: cache.host) as stores:
        pass

    assert len(opened) == 1
    assert {id(store) for store in stores} == {id(opened[0])}


def removed(root: Path, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(root)


def full(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", raising(errno.ENOSPC))


def without_locks(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "lockf", raising(errno.ENOLCK))


def raising(number: int) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("spoil", [removed, full, without_locks])
@pytest.mark.parametrize("errors", [[], [REFUSED]], ids=["lease", "failure"])
def test_store_that_becomes_unusable(
    clock: FakeClock,
    processes: Start,
    provider: Provider,
    ram: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    errors: list[Exception],
) -> None:
    """A store that can no longer be used costs one warning; whoever asks is answered, by memory from then on."""
    cache = processes(clock)
    hold(cache, provider, clock, "advisory")
    spoil(ram / "store", monkeypatch)
    provider.errors = iter(errors)

    first = answer(cache, provider)
    clock.advance(1)
    second = answer(cache, provider)

    assert [first, second] == (["token-1"] * 2 if errors else ["token-2"] * 2)
    assert len(provider.asked) == 2
    assert answer(cache, provider, key=OTHER) == "token-3"
    [warning] = warnings(caplog)
    assert warning.startswith(f"store directory {ram / 'store'}: ")
    assert cache.host is None


def test_two_threads_warn_once(clock: FakeClock, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """Two threads that find the store unusable at one moment say so once."""
    together = threading.Barrier(2)

    class Full(MemoryStore):
        def put(self, key: LeaseKey, lease: Lease) -> None:
            together.wait(10)
            raise UNSAFE

    cache = LeaseCache(clock, Random(7), lambda: Full(clock))
    keys = iter([KEY, OTHER])

    with threads(2, lambda: answer(cache, provider, key=next(keys))) as answers:
        pass

    assert sorted(answers) == ["token-1", "token-2"]
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("row", ["none", "fresh", "advisory", "mandatory"])
def test_peek(clock: FakeClock, cache: LeaseCache, provider: Provider, row: str) -> None:
    """Looking mints nothing, however little of the lease is left."""
    hold(cache, provider, clock, row)
    before = len(provider.asked)

    held = cache.peek(KEY)

    assert (value(held) if held else "none") == ("none" if row == "none" else "token-1")
    assert len(provider.asked) == before


def test_close(ram: Path, clock: FakeClock, provider: Provider) -> None:
    """Closing gives back everything a process had opened for the host store."""
    opened = len(os.listdir("/proc/self/fd"))
    cache = LeaseCache(clock, Random(7), lambda: HostStore(str(ram / "store"), "tests"))
    answer(cache, provider)
    assert len(os.listdir("/proc/self/fd")) > opened

    cache.close()

    assert len(os.listdir("/proc/self/fd")) == opened
