"""Time: the wall clock and the boot clock together, deadlines, and durations as people write them."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Annotated, NamedTuple, Protocol

from msgspec import Meta

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_DURATION = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?")

Duration = Annotated[
    str,
    Meta(
        pattern=r"^(?=[0-9])([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?(?!\n)$",
        description="a duration such as 90s, 15m, 1h or 1h30m",
    ),
]


class Instant(NamedTuple):
    """One moment on both clocks: ``wall`` in epoch seconds (UTC), ``boot`` in seconds since boot, suspend included."""

    wall: float
    boot: float


class Clock(Protocol):
    """Where the time comes from, and how it is waited for."""

    def now(self) -> Instant: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The clocks of this host."""

    def now(self) -> Instant:
        return Instant(time.time(), time.clock_gettime(_BOOTTIME))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


class Deadline:
    """
    One bound for everything a lookup does.

    :param clock: where the time comes from
    :param seconds: how long from now
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self._end = clock.now().boot + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self.clock.now().boot)


@lru_cache
def seconds(duration: str) -> int:
    """
    Turn ``1h30m`` into seconds.

    :param duration: hours, minutes and seconds in that order, each optional
    :raises ValueError: when it is not such a duration
    """
    match = _DURATION.fullmatch(duration)
    if not duration or not match:
        raise ValueError(f"{duration!r} is not a duration such as 90s, 15m, 1h or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest
