"""A place where audit lines go, and what it has lost of them."""

from __future__ import annotations

import logging
import os
import threading
from typing import Protocol

from msgspec.structs import replace

from airflow_ephemeral_secrets.audit_line import Head
from airflow_ephemeral_secrets.telemetry import Telemetry

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where lines go; ``what`` names it in messages."""

    what: str

    def write(self, line: bytes) -> None:
        """
        Take one line, at once.

        :raises OSError: when the line is lost
        """


class Outlet:
    """
    Give lines to a sink, whatever it does with them.

    One that it does not take is lost: the first such is a warning, and the next line that it takes says how many before
    it were lost.

    :param telemetry: counts what is lost
    """

    def __init__(self, sink: Sink, telemetry: Telemetry) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._mutex = threading.Lock()
        self._lost = 0

    def write(self, line: bytes, head: Head, rest: bytes) -> None:
        """
        Write a line, or count it.

        :param line: its head and its rest, where nothing was lost before it
        """
        lost = self._told() if self._lost else 0
        try:
            self._sink.write(replace(head, lines_lost=lost).before(rest) if lost else line)
        except OSError as error:
            self._miss(lost + 1, os.strerror(error.errno).lower() if error.errno else str(error))
        except Exception as error:  # a sink is somebody else's library
            self._miss(lost + 1, f"it raised {type(error).__name__}")
        else:
            if lost:
                log.warning("%s: takes lines again; %d were lost", self._sink.what, lost)

    def _told(self) -> int:
        """Take the count of what was lost: one line tells it."""
        with self._mutex:
            lost, self._lost = self._lost, 0
        return lost

    def _miss(self, count: int, reason: str) -> None:
        with self._mutex:
            first, self._lost = not self._lost and count == 1, self._lost + count
        self._telemetry.count("audit.lost", {})
        if first:
            log.warning("%s: %s; its lines are lost", self._sink.what, reason)
