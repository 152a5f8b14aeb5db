"""Time: two clocks, deadlines, and durations as people write them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from airflow_ephemeral_secrets.clock import Deadline, Duration, SystemClock, seconds
from airflow_ephemeral_secrets.testing import FakeClock


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("1h5s", 3605),
        ("2m5s", 125),
        ("0s", 0),
        ("007m", 420),
        ("100m", 6000),
        ("99999h", 359_996_400),
    ],
)
def test_durations(duration: str, expected: int) -> None:
    """Hours, minutes and seconds add up."""
    assert seconds(duration) == expected
    assert convert(duration, Duration) == duration


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "h", "15", "15 m", " 15m", "15m ", "15m\n", "\n15m", "1h 30m", "15min", "15M", "1H"),
        *("-15m", "+15m", "1.5h", "1,5h", "1e3s", "30m1h", "1m1m", "1d", "1h30", "h30m", "PT15M", "00:15", "1_0s"),
        *("\u0661\u0665m", "\uff11\uff15m", "\u00b2s", "123456h", "1234567s"),
    ],
)
def test_what_is_not_a_duration(text: str) -> None:
    """Anything else is refused where the configuration is read, newlines and foreign digits included."""
    with pytest.raises(ValidationError):
        convert(text, Duration)


@pytest.mark.parametrize("text", ["", "s", "15", "1h 30m", "30m1h", "-15m", "1.5h", "15m\n"])
def test_seconds_of_no_duration(text: str) -> None:
    """What is not a duration has no seconds, and the error says what one looks like."""
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not a duration such as 90s, 15m, 1h or 1h30m")):
        seconds(text)


@given(st.from_regex(r"[0-9]{0,2}h?[0-9]{0,2}m?[0-9]{0,2}s?\n?", fullmatch=True) | st.text("0159hms\n", max_size=6))
def test_what_the_configuration_accepts_has_seconds(text: str) -> None:
    """Every duration that the configuration accepts can be counted."""
    try:
        convert(text, Duration)
    except ValidationError:
        return
    assert seconds(text) >= 0


@given(st.integers(0, 99_999), st.integers(0, 99_999), st.integers(0, 999_999))
def test_durations_count(hours: int, minutes: int, rest: int) -> None:
    """Each part counts as what it names."""
    duration = convert(f"{hours}h{minutes}m{rest}s", Duration)

    assert seconds(duration) == hours * 3600 + minutes * 60 + rest


def test_a_deadline_runs_out() -> None:
    """What remains shrinks as time passes, and never falls below zero."""
    clock = FakeClock()
    deadline = Deadline(clock, 10)
    assert (deadline.seconds, deadline.remaining()) == (10, 10)

    clock.advance(4)
    assert deadline.remaining() == 6

    clock.advance(60)
    assert deadline.remaining() == 0


@pytest.mark.parametrize("step", [-86_400, 86_400])
def test_a_deadline_does_not_heed_the_wall_clock(step: float) -> None:
    """Setting the wall clock neither ends nor prolongs a lookup."""
    clock = FakeClock()
    deadline = Deadline(clock, 10)

    clock.step(step)

    assert deadline.remaining() == 10


def test_the_system_clock_reads_both_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is UTC epoch seconds; the boot clock is the one that goes on while the host is suspended."""
    read: list[int] = []

    def boot(which: int) -> float:
        read.append(which)
        return 7.0

    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    monkeypatch.setattr(time, "clock_gettime", boot)

    assert SystemClock().now() == (1_800_000_000.0, 7.0)
    assert read == [time.CLOCK_BOOTTIME]


def test_the_system_clock_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting is left to the operating system, for as long as asked."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    SystemClock().sleep(1.5)

    assert slept == [1.5]
