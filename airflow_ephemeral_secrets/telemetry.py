"""What is measured, and the door through which it leaves; the flow never knows who counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

PREFIX = "ephemeral_secrets"

COUNTERS: Mapping[str, str] = {
    "lookup.memory": "lookups answered by a lease in the memory of the process",
    "lookup.host": "lookups answered by a lease of the host",
    "lookup.minted": "lookups for which this process minted",
    "lookup.denied": "lookups that policy refused",
    "lookup.failed": "lookups that ended without a credential, whoever asked the source",
    "lookup.stale": "lookups answered in the last minute of a lease, because its refresh fails",
    "mint.granted": "credentials that sources gave",
    "mint.unavailable": "mints that were not tried: a prerequisite is missing on this worker",
    "mint.refused": "mints that the provider refused",
    "mint.failed": "mints that ended without an answer, or with nonsense",
    "audit.lost": "audit lines that a file, syslog or OpenTelemetry did not take",
}
TIMERS: Mapping[str, str] = {
    "lookup.duration": "how long a lookup took, waiting for others included",
    "mint.duration": "how long a source took",
}
GAUGES: Mapping[str, str] = {"lease.seconds_to_expiry": "how long the lease that last answered had to live"}
"""All metrics, under ``PREFIX``; each of a lookup or a mint has the tags ``recipe``, ``source`` and ``kind``."""

SPAN = f"{PREFIX}.mint"

Tags = Mapping[str, str]
Note = Callable[[str, str], None]


class Telemetry(Protocol):
    """Who counts, and who traces."""

    @property
    def counts(self) -> bool:
        """Whether anybody counts; where nobody does, nothing need be told but spans."""

    def count(self, name: str, tags: Tags) -> None:
        """
        Count one.

        :param name: a key of ``COUNTERS``
        """

    def time(self, name: str, milliseconds: float, tags: Tags) -> None:
        """
        Note a duration.

        :param name: a key of ``TIMERS``
        """

    def gauge(self, name: str, value: float, tags: Tags) -> None:
        """
        Note a value.

        :param name: a key of ``GAUGES``
        """

    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Note]:
        """Trace a block, below the span that is current; the value notes an attribute of it."""


class Silent:
    """Nobody counts, and nobody traces."""

    counts = False

    def count(self, name: str, tags: Tags) -> None:
        """Count nothing."""

    def time(self, name: str, milliseconds: float, tags: Tags) -> None:
        """Note nothing."""

    def gauge(self, name: str, value: float, tags: Tags) -> None:
        """Note nothing."""

    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Note]:
        """Trace nothing."""
        return nullcontext(lambda *_: None)


SILENT = Silent()
