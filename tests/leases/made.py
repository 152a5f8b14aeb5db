"""Leases, failures and a provider, made for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, TypeAlias

from airflow_ephemeral_secrets.clock import Deadline, Instant
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import MintError, SourceRefused
from airflow_ephemeral_secrets.leases.cache import Held, LeaseCache
from airflow_ephemeral_secrets.leases.failure import Failure, record
from airflow_ephemeral_secrets.leases.lease import Lease, issue, lease_key
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases import worker

START = 4_000_000_000.0
"""A time no real clock reaches, so that a host store, which sweeps by the real one, sweeps only what is told to end."""
KEY = worker.KEY
OTHER = lease_key({"role": "writer"})
SECRET = "hunter2-hunter2-hunter2"
"""What nothing may show."""
REFUSED = SourceRefused(
    "sts said no", code="AccessDenied", hint="the role's trust policy", source="orders", request_id="req-1"
)


def token(value: str = SECRET, expires_at: float | None = START + 900) -> BearerToken:
    return BearerToken(token=value, expires_at=expires_at, principal="reader")


def lease(value: str = SECRET, *, life: float = 900.0, asked: Instant | None = None) -> Lease:
    asked = asked or FakeClock(wall=START).now()
    return issue(token(value, asked.wall + life), asked=asked, hold=0, random=Random(1))


def failure(error: MintError = REFUSED, *, now: Instant | None = None) -> Failure:
    now = now or FakeClock(wall=START).now()
    return record(error, now=now, attempts=1, random=Random(1))


Start: TypeAlias = Callable[[FakeClock], LeaseCache]
"""Starts a process: what holds its leases."""


class Provider:
    """
    Mint numbered tokens, or raise what it is told to; count every question.

    :param life: seconds each token lives; None for one that does not end by itself
    :param gate: what a question waits for before it is answered
    """

    def __init__(self, life: float | None = 900.0, gate: threading.Event | None = None) -> None:
        self.life = life
        self.gate = gate
        self.errors: Iterator[Exception | None] = iter(())
        self.asked: list[Instant] = []

    def __call__(self, asked: Instant) -> Credential:
        self.asked.append(asked)
        number = len(self.asked)
        error = next(self.errors, None)
        if self.gate:
            self.gate.wait(60)
        if error:
            raise error
        return token(f"token-{number}", None if self.life is None else asked.wall + self.life)


class StillClock(FakeClock):
    """Time stands still: whoever would sleep is counted, once per thread, and lets the others run."""

    def __init__(self) -> None:
        super().__init__(wall=START)
        self.waiting = threading.Semaphore(0)
        self._known = threading.local()

    def sleep(self, seconds: float) -> None:
        if not hasattr(self._known, "counted"):
            self._known.counted = True
            self.waiting.release()
        time.sleep(0.001)


def acquire(cache: LeaseCache, provider: Provider, **others: Any) -> Held:
    """Ask as the flow does, with 10 s to answer."""
    key, seconds, hold = others.get("key", KEY), others.get("seconds", 10.0), others.get("hold", 300.0)
    return cache.acquire(key, provider, deadline=Deadline(cache.clock, seconds), hold=hold)


def answer(cache: LeaseCache, provider: Provider, **others: Any) -> str:
    """Give the token that is granted, or the whole error."""
    try:
        return value(acquire(cache, provider, **others))
    except MintError as error:
        return told(error)


def value(held: Held) -> str:
    assert isinstance(held.lease.credential, BearerToken)
    return held.lease.credential.token


def told(error: MintError) -> str:
    """Say everything an error says."""
    return f"{type(error).__name__} {error.code}: {error} [{error.source}, {error.hint}, {error.request_id}]"


@contextmanager
def threads(count: int, target: Any) -> Iterator[list[Any]]:
    """Run a function in many threads during the block; afterwards the list holds what they returned."""
    answers: list[Any] = []
    started = [threading.Thread(target=lambda: answers.append(target()), daemon=True) for _ in range(count)]
    for thread in started:
        thread.start()
    yield answers
    for thread in started:
        thread.join(60)
    assert len(answers) == count, "every thread has come back with an answer"


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread to get somewhere."""
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("the other thread has not got there")
