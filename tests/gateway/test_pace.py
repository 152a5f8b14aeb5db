"""One pace for all: no bursts, no drift, first come first served, nobody blocks anybody for good."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.gateway import pace
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn, Pace, Schedule, interval, shared_schedule
from airflow_ephemeral_secrets.testing import FakeClock

PATIENCE = 1_000.0


@pytest.fixture
def directory(ram: Path) -> int:
    return os.open(ram, os.O_RDONLY | os.O_DIRECTORY)


@pytest.mark.parametrize(("rate", "seconds"), [("10/s", 0.1), ("300/m", 0.2), ("7200/h", 0.5), ("0.5/s", 2.0)])
def test_rates(rate: str, seconds: float) -> None:
    """A rate is a number of requests in a second, a minute or an hour."""
    assert interval(rate) == pytest.approx(seconds)


@pytest.mark.parametrize("rate", ["", "10", "10/d", "-1/s", "0/s", "10 / s", "1e3/s", "nan/s", "10/s\n"])
def test_bad_rates(rate: str) -> None:
    """Anything else is an error that shows what a rate is."""
    with pytest.raises(ValueError, match="is not a rate such as 10/s"):
        interval(rate)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=40))
def test_no_bursts_and_no_drift(pauses: list[float]) -> None:
    """However requests come, two are never closer than the interval, and none waits longer than those before it."""
    clock, went = FakeClock(), []
    schedule = Schedule(None, f"property {pauses}")
    turns = Pace("2/s", schedule, clock)
    for pause in pauses:
        clock.advance(pause)
        turns.wait(PATIENCE)
        went.append(clock.boot)
    gaps = [later - earlier for earlier, later in pairwise(went)]
    assert all(gap > 0.5 - 1e-6 for gap in gaps)
    assert all(gap <= max(0.5, pause) + 1e-6 for gap, pause in zip(gaps, pauses[1:], strict=True))


def test_turns_are_reserved_in_order(directory: int) -> None:
    """Whoever asks first goes first, though all ask at once: each waits one interval longer."""

    class Waits(FakeClock):
        def sleep(self, seconds: float) -> None:
            waited.append(round(seconds, 6))

    waited: list[float] = []
    for _ in range(5):
        Pace("10/s", Schedule(directory, "api"), Waits()).wait(PATIENCE)
    assert waited == [0.1, 0.2, 0.3, 0.4]


def test_patience_ends(directory: int) -> None:
    """A turn beyond one's patience is not reserved: those who are more patient do not wait for it."""
    clock = FakeClock()
    turns = Pace("1/m", Schedule(directory, "api"), clock)
    turns.wait(0)
    with pytest.raises(OutOfTurn, match=r"no turn within 59 s at 1/m, the next is in 60\.0 s; try: fewer") as caught:
        turns.wait(59)
    assert caught.value.wait == pytest.approx(60)
    assert turns.wait(60) == pytest.approx(60)


def test_pause_is_for_all(directory: int) -> None:
    """After the gateway's pause they go one by one; whoever was waiting for a turn within it waits on."""
    clock = FakeClock()
    one, other = (Pace("10/s", Schedule(directory, "api"), clock) for _ in range(2))
    one.wait(PATIENCE)
    one.pause(30)
    assert [round(turns.wait(PATIENCE), 6) for turns in (one, other, one)] == [30.0, 0.1, 0.1]


def test_pause_while_waiting(directory: int) -> None:
    """A pause that begins while one waits for its turn holds one back."""

    class Interrupted(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if not paused:
                paused.append(True)
                Pace("10/s", Schedule(directory, "api"), self).pause(5)

    paused: list[bool] = []
    clock = Interrupted()
    turns = Pace("10/s", Schedule(directory, "api"), clock)
    turns.wait(PATIENCE)
    assert turns.wait(PATIENCE) == pytest.approx(5.1)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 16, b"\x00" * 16, b"\x7f" * 16, b"\x00" * 99])
def test_spoilt_schedule(ram: Path, directory: int, content: bytes) -> None:
    """A schedule of another boot, or one that makes no sense, is as good as none, and is repaired."""
    Pace("10/s", Schedule(directory, "api"), FakeClock()).wait(0)
    (file,) = ram.iterdir()
    file.write_bytes(content)
    clock = FakeClock()
    turns = Pace("10/s", Schedule(directory, "api"), clock)
    assert turns.wait(0) == 0
    assert turns.wait(PATIENCE) == pytest.approx(0.1)


def test_connections_do_not_wait_for_each_other(directory: int) -> None:
    """Each connection has a pace of its own."""
    clock = FakeClock()
    assert [Pace("1/h", Schedule(directory, name), clock).wait(0) for name in ("one", "other")] == [0, 0]


WORKER = """
import os, sys, time
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK
from airflow_ephemeral_secrets.gateway.pace import Pace, Schedule
directory = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
turns = Pace("50/s", Schedule(directory, "api"))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    turns.wait(60)
    print(SYSTEM_CLOCK.now().boot, flush=True)
if sys.argv[3:]:
    with Schedule(directory, "api").open():
        print("locked", flush=True)
        time.sleep(60)
"""


def worker(ram: Path, calls: int, *more: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(ram), str(calls), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=allowed(),
    )
    assert started.stdout
    assert started.stdout.readline() == "ready\n"
    return started


def test_processes_share_a_pace(ram: Path) -> None:
    """Four processes at once keep one pace: 40 requests at 50/s take 0.8 s, and none of them gets all the turns."""
    workers = [worker(ram, 10) for _ in range(4)]
    for one in workers:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    went = [[float(line) for line in one.communicate(timeout=30)[0].splitlines()] for one in workers]
    every = sorted(moment for moments in went for moment in moments)
    assert len(every) == 40
    assert every[-1] - every[0] >= 39 * 0.02 - 0.01
    assert max(moments[0] for moments in went) < min(moments[-1] for moments in went)


def test_the_dead_hold_no_lock(ram: Path, directory: int) -> None:
    """A process killed in the middle of it blocks nobody."""
    one = worker(ram, 1, "and lock")
    assert one.stdin
    assert one.stdout
    one.stdin.write("\n")
    one.stdin.flush()
    assert [one.stdout.readline() for _ in range(2)][1] == "locked\n"
    one.send_signal(signal.SIGKILL)
    one.communicate()
    began = time.monotonic()
    Pace("50/s", Schedule(directory, "api")).wait(10)
    assert time.monotonic() - began < 5


def test_the_stopped_are_not_waited_for(ram: Path, directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped with the lock in its hand is passed by after a while."""
    monkeypatch.setattr(pace, "LOCK_TRIES", 20)
    Pace("50/s", Schedule(directory, "api"), FakeClock()).wait(0)
    (file,) = ram.iterdir()
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert Pace("50/s", Schedule(directory, "api"), FakeClock()).wait(PATIENCE) == pytest.approx(0.02)


def test_directory_is_gone(tmp_path: Path) -> None:
    """Where the directory was removed, a process keeps a pace of its own, and no request fails for it."""
    folder = tmp_path / "gone"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    folder.rmdir()
    turns = Pace("10/s", Schedule(descriptor, "of a test whose directory is gone"), FakeClock())
    assert [turns.wait(PATIENCE) for _ in range(2)] == [0, pytest.approx(0.1)]


def test_place(monkeypatch: pytest.MonkeyPatch, ram: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Schedules lie in a private directory beside the leases; where none is safe, a process has a pace of its own."""
    monkeypatch.setattr(pace, "resolvers", tuple)
    monkeypatch.setattr(pace, "places", lambda *_: (str(ram / "leases"),))
    pace._directory.cache_clear()
    Pace("10/s", shared_schedule("api")).wait(0)
    (folder,) = (ram / "leases").iterdir()
    assert folder.name.startswith("pace-")
    assert len(list(folder.iterdir())) == 1

    monkeypatch.setattr(pace, "places", lambda *_: ("/proc",))
    pace._directory.cache_clear()
    clock = FakeClock()
    turns = Pace("10/s", shared_schedule("of this test alone"), clock)
    assert turns.wait(0) == 0
    assert turns.wait(1) == pytest.approx(0.1)
    assert "the rate limit holds for each process of its own" in caplog.text
    pace._directory.cache_clear()
