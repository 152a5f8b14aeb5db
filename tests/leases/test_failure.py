"""A failed mint: how long it is remembered, and what it tells those who did not ask."""

from __future__ import annotations

from math import inf
from random import Random

import msgspec
import pytest

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.failure import LONGEST_WAIT, record
from tests.leases.made import REFUSED, START, failure, told

NOW = Instant(START, 1_000.0)


def waits(error: MintError = REFUSED, *, attempts: int = 1, living: bool = False) -> list[float]:
    """Say for how long a failure is remembered, by 200 throws of the dice."""
    drawn = [record(error, now=NOW, attempts=attempts, random=Random(seed)) for seed in range(200)]
    return sorted((one.retry_boot if living else one.shared_boot) - one.failed_boot for one in drawn)


@pytest.mark.parametrize("attempts", [1, 2, 50])
def test_remembered_for_seconds(attempts: int) -> None:
    """Without a living lease a failure is kept for 1 to 5 s, spread, however often it has happened."""
    shortest, *_, longest = waits(attempts=attempts)

    assert 1.0 <= shortest < 1.5
    assert 4.5 < longest <= 5.0


@pytest.mark.parametrize(
    ("attempts", "longest"), [(1, 5.0), (2, 10.0), (3, 20.0), (4, 40.0), (5, 60.0), (6, 60.0), (5_000, 60.0)]
)
def test_backs_off(attempts: int, longest: float) -> None:
    """While a lease still serves, each failure in a row doubles the wait, up to a minute, with jitter over its half."""
    first, *_, last = waits(attempts=attempts, living=True)

    assert longest / 2 <= first < longest * 0.55
    assert longest * 0.95 < last <= longest


@pytest.mark.parametrize("living", [False, True])
@pytest.mark.parametrize(
    ("asked", "waited"), [(30.0, 30.0), (LONGEST_WAIT, 300.0), (301.0, 300.0), (99_999.0, 300.0), (inf, 300.0)]
)
def test_retry_after(asked: float, waited: float, living: bool) -> None:
    """What the provider asks us to wait is honoured, up to five minutes."""
    assert set(waits(SourceFailed("busy", retry_after=asked), living=living)) == {waited}


@pytest.mark.parametrize("asked", [0.0, 0.5, -1.0, -inf])
def test_retry_after_only_lengthens(asked: float) -> None:
    """A provider that asks for less than we would wait does not make us ask sooner."""
    assert waits(SourceFailed("busy", retry_after=asked)) == waits(SourceFailed("busy"))


def test_pending() -> None:
    """Nobody asks from the moment of the failure until its end, which is not part of it."""
    one = failure()

    for living, end in ((True, one.retry_boot), (False, one.shared_boot)):
        assert one.pending(NOW, living=living)
        assert one.pending(Instant(NOW.wall, end - 0.001), living=living)
        assert not one.pending(Instant(NOW.wall, end), living=living)


@pytest.mark.parametrize("wall", [-3_600.0, 3_600.0])
def test_wall_clock_does_not_matter(wall: float) -> None:
    """A wall clock that is set neither lengthens nor shortens the wait."""
    assert failure().pending(Instant(NOW.wall + wall, NOW.boot + 0.5), living=False)
    assert not failure().pending(Instant(NOW.wall + wall, NOW.boot + 5.0), living=False)


def test_failure_of_another_boot() -> None:
    """A failure from before this boot keeps nobody waiting."""
    assert not failure().pending(Instant(NOW.wall + 60, NOW.boot - 1), living=True)


@pytest.mark.parametrize("kind", [SourceUnavailable, SourceRefused, SourceFailed])
def test_follower_gets_the_same_error(kind: type[MintError]) -> None:
    """A follower's error is the leader's: class, message, code, hint, source, request id and what to wait."""
    error = kind("no", code="Throttled", hint="wait", source="orders", retry_after=7.0, request_id="req-1")

    shared = failure(error).error()

    assert told(shared) == told(error)
    assert (type(shared), vars(shared)) == (kind, vars(error))


def test_follower_gets_the_nearest_known_error() -> None:
    """An error class that a source made for itself reaches a follower as the one of ours that it extends."""

    class TrustPolicyRefused(SourceRefused):
        pass

    assert type(failure(TrustPolicyRefused("no")).error()) is SourceRefused


def test_travels_whole() -> None:
    """A failure reads back from a store as it was written."""
    one = failure()

    assert msgspec.json.decode(msgspec.json.encode(one), type=type(one)) == one
