"""Child processes, each the leader of a session of its own, so that all its descendants can be found and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

TAIL_LINES = 25
POLL_SECONDS = 0.05


class Component:
    """
    One running program whose output goes to a file.

    :param name: what people call it
    :param command: program and arguments
    :param environment: all its variables
    :param output: the file that receives stdout and stderr; its folder becomes the working directory
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        self.name = name
        self.output = output
        with output.open("ab") as sink, uninterrupted():
            self._process = subprocess.Popen(
                command,
                cwd=output.parent,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def session(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return how it ended, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit code."""
        return self._process.wait(timeout)

    def tail(self) -> str:
        """Return its last lines of output."""
        lines = self.output.read_text(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


def survivors(sessions: Collection[int]) -> list[psutil.Process]:
    """Find every living process of these sessions, whoever its parent is by now."""
    return [process for process in psutil.process_iter() if _belongs(process, sessions)]


def stop(sessions: Collection[int], grace: float) -> None:
    """
    End all processes of these sessions: leaders are asked, whoever is left after the grace is killed.

    :param grace: seconds that the leaders have to put their own children away
    """
    for process in survivors(sessions):
        if process.pid in sessions:
            _send(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (remaining := survivors(sessions)) and time.monotonic() < deadline + grace:
        if time.monotonic() > deadline:
            for process in remaining:
                _send(process, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that everything is put away."""
    with _handling((signal.SIGTERM, signal.SIGHUP), _interrupt):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back signals until the block is done, so that no process starts or ends half way."""
    held: list[int] = []
    with _handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), lambda number, _: held.append(number)):
        yield
    if held:
        _interrupt(held[0], None)


@contextmanager
def _handling(numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _belongs(process: psutil.Process, sessions: Collection[int]) -> bool:
    try:
        return os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.NoSuchProcess):
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
