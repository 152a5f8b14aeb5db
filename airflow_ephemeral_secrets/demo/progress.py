"""What is being waited for, and for how long already."""

from __future__ import annotations

import time
from typing import TextIO

ERASE = "\r\x1b[K"


class Progress:
    """
    Show one live line on a terminal; elsewhere a line per change.

    :param stream: where to write
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._started = time.monotonic()
        self._last = ""

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def __call__(self, message: str) -> None:
        """Say what is being waited for now."""
        if self._live:
            self._write(f"{ERASE}[{self.elapsed:4.0f} s] {message}")
        elif message != self._last:
            self._write(f"[{self.elapsed:4.0f} s] {message}\n")
        self._last = message

    def close(self) -> None:
        """Leave the line to others."""
        if self._live:
            self._write(ERASE)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
