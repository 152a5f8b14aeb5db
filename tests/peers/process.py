"""
A server in a process of its own, that dies with whoever started it, however that ends.

.. code-block:: python

    with Process([bao(), "server", "-dev"], ready="OpenBao server started!") as server:
        ...  # server.said is the match, server.log all that it wrote
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

PATIENCE = 30.0
POLL = 0.02
TAIL = 4_000

# The program ends when the guard reads a line or the end of its input: also when whoever started it is killed.
GUARDED = """
exec 3<&0
"$@" </dev/null 3<&- & program=$!
(read -r _ <&3; kill -KILL $program) 2>/dev/null & guard=$!
exec 3<&-
wait $program
kill $guard 2>/dev/null
wait $guard
"""


class Process:
    """
    Run a server while the block lasts.

    :param ready: what it writes once it serves, as a pattern
    :param environment: its variables besides ``PATH``, ``HOME`` and ``TMPDIR``, which lead to a folder of its own
    """

    def __init__(self, command: Sequence[str], *, ready: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._ready = re.compile(ready)
        self._environment = environment or {}
        self._stack = ExitStack()

    def __enter__(self) -> Process:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ephemeral-peer-")))
            self._log = self.folder / "log"
            self._start(stack)
            self.said = self._await()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def log(self) -> str:
        """All that the server wrote."""
        return self._log.read_text(errors="replace")

    def _start(self, stack: ExitStack) -> None:
        home = str(self.folder)
        with self._log.open("wb") as log:
            self._shell = subprocess.Popen(
                ["sh", "-c", GUARDED, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=home,
                env={"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home, **self._environment},
            )
        stack.callback(self._stop)

    def _stop(self) -> None:
        try:
            self._shell.communicate(b"\n", PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.communicate()

    def _await(self) -> re.Match[str]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if match := self._ready.search(self.log):
                return match
            if self._shell.poll() is not None:
                break
            time.sleep(POLL)
        raise RuntimeError(f"{self._command[0]} does not serve:\n{self.log[-TAIL:]}")
