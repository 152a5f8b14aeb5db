"""The limits of gateways: a bucket of tokens, a number of calls in each window of time, a pause, all of several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol


class Limit(Protocol):
    """What lets a call through, or says when."""

    def wait(self) -> float:
        """Let one through and give 0, or give the seconds until it is worth trying again."""


class Bucket:
    """
    Let through so many a second, and a few at once.

    :param rate: calls a second
    :param burst: calls at once
    """

    def __init__(self, rate: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._now = now
        self._mutex = Lock()
        self._held, self._since = burst, now()

    def wait(self) -> float:
        with self._mutex:
            now = self._now()
            self._held = min(self._burst, self._held + (now - self._since) * self._rate)
            self._since = now
            if self._held >= 1:
                self._held -= 1
                return 0.0
            return (1 - self._held) / self._rate


class Window:
    """
    Let through so many in each window, the first of which begins with the first call.

    :param calls: in a window
    :param seconds: of a window
    """

    def __init__(self, calls: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._seconds = seconds
        self._now = now
        self._mutex = Lock()
        self._began = -math.inf
        self._left = 0

    def wait(self) -> float:
        with self._mutex:
            now = self._now()
            if now >= self._began + self._seconds:
                self._began, self._left = now, self._calls
            if self._left:
                self._left -= 1
                return 0.0
            return self._began + self._seconds - now


class Pause:
    """
    Let nobody through for some seconds from the first call on, as when others have used up what there was.

    :param seconds: of the pause
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._mutex = Lock()
        self._ends: float | None = None

    def wait(self) -> float:
        with self._mutex:
            now = self._now()
            if self._ends is None:
                self._ends = now + self._seconds
            return max(0.0, self._ends - now)


class Every:
    """
    Let through what each of several limits lets through, asking them in order.

    :param limits: of which the later are not asked where an earlier one says no
    """

    def __init__(self, *limits: Limit) -> None:
        self._limits = limits

    def wait(self) -> float:
        return next((seconds for limit in self._limits if (seconds := limit.wait())), 0.0)
