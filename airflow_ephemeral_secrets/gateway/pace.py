"""
One pace for all tasks of a host that call through one connection, so that together they stay under a usage plan.

Requests are spaced evenly, without bursts: a virtual schedule (GCRA) in one small file per connection, in a private
directory in RAM. A turn is reserved under the file's lock, in the order of asking, and waited for without it; whoever
dies meanwhile wastes one turn and blocks nobody. When a gateway asks for a pause, nobody goes before its end, and then
one after the other.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock
from airflow_ephemeral_secrets.errors import StoreError
from airflow_ephemeral_secrets.installation import resolvers
from airflow_ephemeral_secrets.leases.directory import open_in_ram, places

LONGEST_QUEUE = 24 * 3600.0
"""Seconds; a schedule further ahead than this comes from another boot, or from nowhere."""
LOCK_TRIES, LOCK_PAUSE = 2_000, 0.001

log = logging.getLogger(__name__)
_RATE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)/(s|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MOMENTS = struct.Struct("<dd")


def interval(rate: str) -> float:
    """
    Seconds from one request to the next at a rate such as ``10/s``, ``300/m`` or ``5000/h``.

    :raises ValueError: when it is not such a rate
    """
    match = _RATE.fullmatch(rate)
    if not match or float(match[1]) == 0:
        raise ValueError(f"rate_limit {rate!r} is not a rate such as 10/s, 300/m or 5000/h")
    return _UNITS[match[2]] / float(match[1])


class OutOfTurn(Exception):
    """
    Say that the next turn is too far away.

    :param wait: seconds until it
    """

    def __init__(self, rate: str, wait: float, patience: float) -> None:
        super().__init__(
            f"no turn within {patience:g} s at {rate}, the next is in {wait:.1f} s; "
            "try: fewer tasks at a time, or more patience"
        )
        self.rate = rate
        self.wait = wait


class Pace:
    """
    Give turns.

    :param rate: such as ``10/s``
    :param schedule: where the moment of the next free turn is kept
    """

    def __init__(self, rate: str, schedule: Schedule, clock: Clock = SYSTEM_CLOCK) -> None:
        self._rate = rate
        self._interval = interval(rate)
        self._schedule = schedule
        self._clock = clock

    def wait(self, patience: float) -> float:
        """
        Wait for a turn.

        :param patience: seconds at most
        :return: seconds waited
        :raises OutOfTurn: when it would take longer; no turn is reserved then
        """
        began = self._clock.now().boot
        while True:
            with self._schedule.open() as at:
                now = self._clock.now().boot
                turn = max(_ahead(at.turn, now), _ahead(at.opens, now))
                if turn > now and turn - began > patience:
                    raise OutOfTurn(self._rate, turn - now, patience)
                at.turn = turn + self._interval
            if turn == now:
                return now - began
            self._clock.sleep(turn - now)
            with self._schedule.open() as at:
                now = self._clock.now().boot
                if _ahead(at.opens, now) == now:
                    return now - began

    def pause(self, seconds: float) -> None:
        """Let nobody go before the gateway's pause is over, not even those who wait for their turn already."""
        with self._schedule.open() as at:
            now = self._clock.now().boot
            at.opens = max(_ahead(at.opens, now), now + min(seconds, LONGEST_QUEUE / 2))


def _ahead(moment: float, now: float) -> float:
    return moment if now < moment <= now + LONGEST_QUEUE else now


class At:
    """
    Two moments by the boot clock, while the schedule is locked.

    :param turn: of the next request
    :param opens: the end of a pause
    """

    def __init__(self, turn: float = 0.0, opens: float = 0.0) -> None:
        self.turn = turn
        self.opens = opens


class Schedule:
    """
    Keep the moments: in a file that all processes share, or in this process where there is none.

    :param directory: a descriptor of a private directory in RAM, or None
    :param name: of what is paced
    """

    def __init__(self, directory: int | None, name: str) -> None:
        self._directory = directory
        self._name = sha256(name.encode()).hexdigest()

    @contextmanager
    def open(self) -> Iterator[At]:
        """Lock it for the length of a block, and keep what the block leaves."""
        with _mutex:
            descriptor = self._opened()
            if descriptor is None:
                yield _alone.setdefault(self._name, At())
                return
            try:
                _lock(descriptor)
                held = os.pread(descriptor, _MOMENTS.size, 0)
                at = At(*_MOMENTS.unpack(held)) if len(held) == _MOMENTS.size else At()
                yield at
                with suppress(OSError):  # RAM that is full costs the pace, never the request
                    os.pwrite(descriptor, _MOMENTS.pack(at.turn, at.opens), 0)
            finally:
                os.close(descriptor)

    def _opened(self) -> int | None:
        """Open the file; None where there is no directory, or none any more."""
        if self._directory is None:
            return None
        with suppress(OSError):
            return os.open(self._name, _OPEN, 0o600, dir_fd=self._directory)
        return None


def _lock(descriptor: int) -> None:
    """Take the lock, held for microseconds; from someone who was stopped within them it is not waited for."""
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_PAUSE)


def shared_schedule(conn_id: str) -> Schedule:
    """Give the schedule that all processes of this user on this host and of this Airflow share for a connection."""
    setting = next((resolver.config.store.host for resolver in resolvers()), "auto")
    return Schedule(_directory(setting, _airflow.home()), conn_id)


@cache
def _directory(setting: str, home: str) -> int | None:
    """
    Open the directory of schedules, beside that of the leases.

    :return: None where there is none, which is said: every process then keeps a pace of its own
    """
    name = f"pace-{sha256(home.encode()).hexdigest()[:16]}"
    refused = "store.host is off"
    for place in places(setting, os.environ) if setting != "off" else ():
        try:
            return open_in_ram(place, name)
        except StoreError as error:
            refused = str(error)
    log.warning("the rate limit holds for each process of its own: %s", refused)
    return None


_mutex = threading.Lock()
_alone: dict[str, At] = {}


def _forked() -> None:
    global _mutex  # noqa: PLW0603  # another thread of the parent may have held the old one
    _mutex = threading.Lock()


os.register_at_fork(after_in_child=_forked)
