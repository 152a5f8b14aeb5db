"""Limits limit."""

from __future__ import annotations

import pytest

from airflow_ephemeral_secrets.demo.limits import Bucket, Every, Pause, Window
from airflow_ephemeral_secrets.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_bucket(clock: FakeClock) -> None:
    """A few at once, then one for each part of a second, and no more is saved up than a few."""
    bucket = Bucket(2, 3, lambda: clock.boot)
    assert [bucket.wait() for _ in range(4)] == [0, 0, 0, 0.5]
    clock.advance(0.5)
    assert [bucket.wait() for _ in range(2)] == [0, 0.5]
    clock.advance(100)
    assert [bucket.wait() for _ in range(4)] == [0, 0, 0, 0.5]


def test_window(clock: FakeClock) -> None:
    """So many in each window, which begins with the first call after the last one."""
    window = Window(2, 10, lambda: clock.boot)
    clock.advance(7)
    assert [window.wait() for _ in range(3)] == [0, 0, 10]
    clock.advance(4)
    assert window.wait() == 6
    clock.advance(6)
    assert [window.wait() for _ in range(3)] == [0, 0, 10]


def test_pause(clock: FakeClock) -> None:
    """Nobody from the first call on, and then everybody."""
    pause = Pause(3, lambda: clock.boot)
    clock.advance(50)
    assert pause.wait() == 3
    clock.advance(2)
    assert pause.wait() == 1
    clock.advance(1)
    assert [pause.wait() for _ in range(5)] == [0] * 5


def test_every(clock: FakeClock) -> None:
    """The first that says no decides, and those after it lose nothing."""
    every = Every(Pause(3, lambda: clock.boot), Bucket(1, 1, lambda: clock.boot))
    assert [every.wait() for _ in range(2)] == [3, 3]
    clock.advance(3)
    assert [every.wait() for _ in range(2)] == [0, 1]
