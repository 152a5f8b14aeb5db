"""What happened to every request: one JSON line each, to a logger and wherever else. It never sees a secret field."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_ephemeral_secrets.audit_line import (
    AuditEvent,
    Head,
    encoded,
    moment,
    of_credential,
    of_error,
    of_invalidation,
    of_lease,
)
from airflow_ephemeral_secrets.audit_outlet import Outlet, Sink
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Clock, Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import AccessDenied, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import Held
from airflow_ephemeral_secrets.leases.lease import lease_id
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.telemetry import SILENT, SPAN, Tags, Telemetry

log = logging.getLogger("airflow_ephemeral_secrets.audit")
REMEMBERED = 64


class Audit:
    """
    Write events.

    Mints, refusals and failures are logged at INFO, lookups that a cache answered at DEBUG. A sink that does not take
    a line costs that line, never a lookup.

    :param clock: dates and times events
    :param open_sinks: opens, at the first line, whatever else lines go to
    :param telemetry: counts and times them
    """

    def __init__(
        self, clock: Clock, open_sinks: Callable[[], Sequence[Sink]] = tuple, telemetry: Telemetry = SILENT
    ) -> None:
        self._clock = clock
        self._open_sinks = open_sinks
        self._telemetry = telemetry
        self._opened: Sequence[Outlet] | None = None
        self._mutex = threading.Lock()
        self._grants: dict[object, bytes] = {}

    @contextmanager
    def request(self, caller: Caller, name: str, recipe: Recipe) -> Iterator[AuditEvent]:
        """Audit one lookup: what is granted inside, or the error that leaves it."""
        event = AuditEvent(caller, name, recipe)
        start = self._clock.now()
        try:
            yield event
        except Exception as error:
            denied = isinstance(error, AccessDenied)
            told = {"outcome": "deny" if denied else "fail", **of_error(error)}
            self._telemetry.count("lookup.denied" if denied else "lookup.failed", event.tags)
            self._end("lookup", event, start, told)
            raise
        if event.held:
            self._granted(event, event.held, start)

    def _granted(self, event: AuditEvent, held: Held, start: Instant) -> None:
        counts, heard = self._telemetry.counts, self._heard(logging.DEBUG)
        if not (counts or heard):
            return
        now = self._clock.now()
        took = _milliseconds(start, now)
        if counts:
            self._count(event.tags, held, now, took)
        if heard:
            self._line(now, self._grant(event, held), logging.DEBUG, took)

    def _count(self, tags: Tags, held: Held, now: Instant, took: float) -> None:
        self._telemetry.count(f"lookup.{held.origin}", tags)
        self._telemetry.gauge("lease.seconds_to_expiry", held.lease.life - held.lease.age(now), tags)
        self._telemetry.time("lookup.duration", took, tags)
        if held.stale:
            self._telemetry.count("lookup.stale", tags)

    def _grant(self, event: AuditEvent, held: Held) -> bytes:
        """Write the line of a granted lookup, once for all that differ in nothing but their head."""
        recipe, lease = event.recipe, held.lease
        key = (event.caller, event.name, recipe.pattern, recipe.source_name, lease.lease_id, held.origin, held.stale)
        rest = self._grants.get(key)
        if rest is None:
            if len(self._grants) >= REMEMBERED:
                self._grants.clear()
            told = {"outcome": "grant", "from": held.origin, **({"stale": True} if held.stale else {})}
            rest = self._grants[key] = encoded(event.facts("lookup") | told | of_lease(lease) | event.stamp())
        return rest

    @contextmanager
    def mint(self, event: AuditEvent, start: Instant) -> Iterator[list[Credential]]:
        """Audit one mint; the block puts the credential it got into the list."""
        got: list[Credential] = []
        tags = event.tags
        with self._telemetry.span(SPAN, tags) as note:
            try:
                yield got
            except Exception as error:
                told = {"outcome": "fail", **of_error(error), **event.stamp()}
                note("code", told["code"])
                self._telemetry.count(f"mint.{_class(error)}", tags)
                self._end("mint", event, start, told)
                raise
            told = {"outcome": "grant", "from": "minted", "issued_at": moment(start.wall), "lease_id": lease_id(got[0])}
            note("lease_id", told["lease_id"] or "")
            self._telemetry.count("mint.granted", tags)
            if got[0].expires_at is not None:
                told["expires_at"] = moment(got[0].expires_at)
            self._end("mint", event, start, told | of_credential(got[0]) | event.stamp())

    def invalidated(self, lease_ids: Iterable[str]) -> None:
        """Note what was forgotten before its end."""
        for gone in lease_ids:
            self._line(self._clock.now(), encoded(of_invalidation(gone)), logging.INFO)

    def _end(self, kind: str, event: AuditEvent, start: Instant, told: dict[str, Any]) -> None:
        """Time what has ended, and write how."""
        now = self._clock.now()
        took = _milliseconds(start, now)
        self._telemetry.time(f"{kind}.duration", took, event.tags)
        if self._heard(logging.INFO):
            self._line(now, encoded(event.facts(kind) | told), logging.INFO, took)

    def _heard(self, level: int) -> bool:
        return bool(self._outlets()) or log.isEnabledFor(level)

    def _line(self, now: Instant, rest: bytes, level: int, took: float | None = None) -> None:
        head = Head(moment(now.wall), os.getpid(), took)
        line = head.before(rest)
        if log.isEnabledFor(level):
            log.log(level, "%s", line.decode())
        for outlet in self._outlets():
            outlet.write(line, head, rest)

    def _outlets(self) -> Sequence[Outlet]:
        if self._opened is None:
            with self._mutex:
                if self._opened is None:
                    self._opened = [Outlet(sink, self._telemetry) for sink in self._open_sinks()]
        return self._opened


def _milliseconds(start: Instant, end: Instant) -> float:
    return round((end.boot - start.boot) * 1000, 3)


def _class(error: Exception) -> str:
    if isinstance(error, SourceUnavailable):
        return "unavailable"
    return "refused" if isinstance(error, SourceRefused) else "failed"
