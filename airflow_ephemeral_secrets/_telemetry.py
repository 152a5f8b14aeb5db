"""Airflow's own metrics and traces, where they are switched on: StatsD, Datadog or OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.telemetry import PREFIX, Note, Tags

SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")


class AirflowTelemetry:
    """
    Count with Airflow's stats, and trace below the span of the task.

    Nothing of it is loaded where it is switched off, and whatever goes wrong in it costs no lookup.
    """

    @property
    def counts(self) -> bool:
        with suppress(Exception):
            return _stats() is not None
        return False

    def count(self, name: str, tags: Tags) -> None:
        """Count one."""
        self._send("incr", name, tags=tags)

    def time(self, name: str, milliseconds: float, tags: Tags) -> None:
        """Note a duration."""
        self._send("timing", name, milliseconds, tags=tags)

    def gauge(self, name: str, value: float, tags: Tags) -> None:
        """Note a value."""
        self._send("gauge", name, value, tags=tags)

    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Note]:
        """Trace a block where the process traces; an exception's text and stack stay out of the trace."""
        trace = sys.modules.get("opentelemetry.trace")
        if trace is None:
            return nullcontext(lambda *_: None)
        return _span(trace, name, {f"{PREFIX}.{key}": value for key, value in attributes.items()})

    def _send(self, kind: str, name: str, *values: float, tags: Tags) -> None:
        with suppress(Exception):
            if stats := _stats():
                getattr(stats, kind)(f"{PREFIX}.{name}", *values, tags=dict(tags))


@lru_cache(maxsize=1)
def _stats() -> Any:
    """Find Airflow's stats, made ready where a process has not done that; None where they are switched off."""
    from airflow.sdk.configuration import conf

    if not any(conf.getboolean("metrics", switch, fallback=False) for switch in SWITCHES):
        return None
    from airflow.sdk.observability.metrics import stats_utils
    from airflow.sdk.observability.stats import Stats

    if _airflow.process() != "task":
        _initialize(Stats, stats_utils.get_stats_factory, conf)
    return Stats


def _initialize(stats: Any, factory: Callable[..., Any], conf: Any) -> None:
    if hasattr(stats, "instance"):  # Airflow 3.2
        stats.initialize(factory=factory(stats))
    else:
        legacy = conf.getboolean("metrics", "legacy_names_on", fallback=True)
        stats.initialize(factory=factory(), export_legacy_names=legacy)


@contextmanager
def _span(trace: Any, name: str, attributes: Mapping[str, str]) -> Iterator[Note]:
    tracer = trace.get_tracer("airflow_ephemeral_secrets")
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        yield lambda key, value: span.set_attribute(f"{PREFIX}.{key}", value)
