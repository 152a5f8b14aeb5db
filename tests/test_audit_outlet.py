"""What a sink loses is counted where it was lost, and told once."""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime, timezone

import pytest

from airflow_ephemeral_secrets.audit_line import Head
from airflow_ephemeral_secrets.audit_outlet import Outlet
from tests.counted import Counted

NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)
HEAD, REST = Head(NOW, 7), b',"event":"mint"}'
LINE = HEAD.before(REST)


class Sink:
    """Keep lines, or raise what it is told to."""

    what = "sink"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.together: threading.Barrier | None = None
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        if self.together:
            self.together.wait(10)
        if self.error:
            raise self.error
        self.lines.append(line)

    @property
    def lost(self) -> list[int]:
        """What each line says."""
        return [json.loads(line).get("lines_lost", 0) for line in self.lines]


def write(*outlets: Outlet, times: int = 1) -> None:
    for _ in range(times):
        for outlet in outlets:
            outlet.write(LINE, HEAD, REST)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "whatever"), "sink: no space left on device; its lines are lost"),
        (OSError("it is slow"), "sink: it is slow; its lines are lost"),
        (ValueError("a-token-of-a-collector"), "sink: it raised ValueError; its lines are lost"),
        (StopIteration(), "sink: it raised StopIteration; its lines are lost"),
    ],
)
def test_whatever_a_sink_raises_costs_its_lines(error: Exception, told: str, caplog: pytest.LogCaptureFixture) -> None:
    """No error leaves, whoever's it is; the first is said, but no text that is neither the system's nor ours."""
    sink, counted = Sink(error), Counted()
    outlet = Outlet(sink, counted)
    write(outlet, times=3)
    sink.error = None
    write(outlet, times=2)

    assert sink.lost == [3, 0]
    assert counted.counted["audit.lost"] == 3
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [told, "sink: takes lines again; 3 were lost"]


def test_each_tells_what_it_lost_itself() -> None:
    """A sink that is down has nothing to do with what another lost."""
    down, fine = Sink(OSError("down")), Sink()
    outlets = [Outlet(sink, Counted()) for sink in (down, fine)]
    write(*outlets, times=5)
    fine.error = OSError("full")
    write(*outlets)
    fine.error = None
    write(*outlets, times=3)

    assert fine.lost == [0, 0, 0, 0, 0, 1, 0, 0]


def test_two_that_recover_at_once_tell_it_once() -> None:
    """Of lines that are written at the same time, one says how many were lost."""
    sink = Sink(OSError("down"))
    outlet = Outlet(sink, Counted())
    write(outlet, times=3)
    sink.error, sink.together = None, threading.Barrier(2)
    threads = [threading.Thread(target=write, args=(outlet,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    sink.together = None
    write(outlet)

    assert sorted(sink.lost) == [0, 0, 3]


def test_failure_after_a_loss_forgets_nothing() -> None:
    """A line that was to tell of those before, and is lost itself, is counted with them."""
    sink = Sink(OSError("down"))
    outlet = Outlet(sink, Counted())
    write(outlet, times=2)
    write(outlet, times=2)
    sink.error = None
    write(outlet)

    assert sink.lost == [4]
