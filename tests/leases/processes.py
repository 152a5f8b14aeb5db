"""Start the worker, and talk with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SCRIPT = Path(__file__).with_name("worker.py")


class Worker:
    """
    A process of ``worker.py``.

    :param verb: what it does
    :param root: the directory of the host store
    :param manner: how it does it
    """

    def __init__(self, verb: str, root: Path | str, manner: str = "") -> None:
        command = [sys.executable, str(SCRIPT), verb, str(root), manner]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def hears(self) -> None:
        """Tell it to go on."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def says(self) -> str:
        """Wait for its next line; empty when it has ended."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def begins(self) -> Worker:
        assert self.says() == "ready"
        self.hears()
        return self

    def dies(self) -> None:
        """Kill it alone, as the kernel does when it is out of memory."""
        self.process.kill()
        self.process.wait()

    def ends(self) -> None:
        """Kill it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with self.process:
            pass
