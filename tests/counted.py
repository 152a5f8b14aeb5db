"""Telemetry that remembers what it was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from airflow_ephemeral_secrets.telemetry import COUNTERS, GAUGES, TIMERS, Note, Tags


class Counted:
    """Count by name; any name that is not documented fails."""

    counts = True

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.times: dict[str, float] = {}
        self.gauges: dict[str, float] = {}
        self.tags: dict[str, Tags] = {}
        self.spans: list[dict[str, str]] = []

    def count(self, name: str, tags: Tags) -> None:
        assert name in COUNTERS
        self.counted[name] += 1
        self.tags[name] = tags

    def time(self, name: str, milliseconds: float, tags: Tags) -> None:
        assert name in TIMERS
        self.times[name] = milliseconds
        self.tags[name] = tags

    def gauge(self, name: str, value: float, tags: Tags) -> None:
        assert name in GAUGES
        self.gauges[name] = value
        self.tags[name] = tags

    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Note]:
        self.spans.append({"name": name, **attributes})
        return nullcontext(self.spans[-1].__setitem__)
