"""Whatever a component started must end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.demo.processes import Component, interruptible, stop, survivors, uninterrupted

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork():
        os._exit(0)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def started() -> Iterator[list[Component]]:
    components: list[Component] = []
    yield components
    stop({component.session for component in components}, 1)
    for component in components:
        component.wait(5)


def start(started: list[Component], folder: Path, code: str, environment: dict[str, str] | None = None) -> Component:
    command = [sys.executable, "-u", "-c", code]
    component = Component("test", command, environment or {}, folder / f"{len(started)}.out")
    started.append(component)
    return component


def wait_for(component: Component, text: str, count: int = 1) -> None:
    for _ in range(400):
        if component.output.read_text().count(text) >= count:
            return
        with suppress(subprocess.TimeoutExpired):
            component.wait(0.05)
    pytest.fail(component.tail())


def test_stops_descendants_that_ignore_it(started: list[Component], tmp_path: Path) -> None:
    """Neither an own process group, nor the death of its parent, nor ignoring SIGTERM saves a descendant."""
    component = start(started, tmp_path, STUBBORN)
    wait_for(component, "ready", count=2)
    assert len(survivors({component.session})) == 2

    stop({component.session}, grace=0.1)

    assert survivors({component.session}) == []


def test_asks_before_it_kills(started: list[Component], tmp_path: Path) -> None:
    """A component that heeds SIGTERM may put its things away."""
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('ready'); signal.pause()"
    component = start(started, tmp_path, code)
    wait_for(component, "ready")

    stop({component.session}, grace=10)

    assert component.exit_code() == 7


def test_leaves_others_alone(started: list[Component], tmp_path: Path) -> None:
    """Only the given sessions are ended."""
    code = "import signal; print('ready'); signal.pause()"
    mine, other = (start(started, tmp_path, code) for _ in range(2))
    wait_for(mine, "ready")
    wait_for(other, "ready")

    stop({mine.session}, grace=5)

    assert other.exit_code() is None


def test_component_sees_only_what_it_is_given(
    started: list[Component], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of this process reaches it unasked, and its output is kept."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    component = start(started, tmp_path, "import os; print(sorted(os.environ))", {"GIVEN": "1"})

    assert component.wait(10) == 0
    assert "GIVEN" in component.tail()
    assert "AWS_PROFILE" not in component.tail()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_is_an_interrupt(number: signal.Signals) -> None:
    """SIGTERM and SIGHUP unwind the block, so that what it started is put away."""
    before = signal.getsignal(number)

    with pytest.raises(KeyboardInterrupt, match=number.name), interruptible():
        signal.raise_signal(number)

    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_holds_an_interrupt_back(number: signal.Signals) -> None:
    """A signal does not cut the block short, and is not lost."""
    done = []

    def block() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            done.append(True)

    with pytest.raises(KeyboardInterrupt, match=number.name):
        block()

    assert done == [True]
