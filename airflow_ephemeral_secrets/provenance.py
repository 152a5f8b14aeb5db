"""
Who made a call: the calls of a gateway's log, matched with the lines of an audit.

A call is matched by its correlation id, then by the access key it was signed with, then by the principal the gateway
names. What the audit has is held in memory, bounded; calls are matched one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, Literal

from msgspec import Struct

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.gatewaylog import Entry
from airflow_ephemeral_secrets.timeline import Line, Who

How = Literal["correlation", "access key", "principal", "nobody", "unknown", "other"]

MOST_TRIES, MOST_LEASES, NAMED = 200_000, 100_000, 10
SLACK = 60.0
"""Seconds by which the clocks of a worker and a gateway may differ."""
LONGEST_LIFE = 24 * 3600.0
"""Seconds before a call in which its credential may have been handed out."""


class Try(Struct):
    """A try of a task, and what it was given."""

    who: Who
    correlation_id: str
    conn_ids: dict[str, None] = {}
    lease_ids: dict[str, None] = {}


class Lease(Struct):
    """
    A lease that was handed out.

    :param until: when it ends, in epoch seconds
    :param tries: who had it, and since when
    """

    access_key_id: str | None = None
    principal: str | None = None
    until: float = float("inf")
    tries: dict[str, float] = {}


class Found(Struct, frozen=True, kw_only=True):
    """
    A call, and who made it.

    :param how: by what it was matched; ``nobody``: with an identity of ours, by no try that is known; ``unknown``: the
        log does not name an identity; ``other``: with an identity that is not ours
    :param tries: who may have made it: more than one where they share a credential
    :param contradicted: whether the credential was not given to the try that the correlation id names
    """

    entry: Entry
    how: How
    tries: tuple[Try, ...] = ()
    contradicted: bool = False

    def told(self) -> dict[str, Any]:
        """Give what a timeline tells: who, which task, which credential, which call, which answer."""
        one = self.tries[0] if len(self.tries) == 1 else None
        call = self.entry
        return {
            "time": moment(call.time),
            "gateway": call.gateway,
            "method": call.method,
            "path": call.path,
            "status": call.status,
            "duration_ms": call.duration_ms,
            "request_id": call.request_id,
            "identity": call.identity,
            "access_key_id": call.access_key_ids[0] if call.access_key_ids else None,
            "how": self.how,
            "contradicted": self.contradicted,
            "correlation_id": one.correlation_id if one else None,
            "caller": one.who if one else None,
            "conn_ids": list(one.conn_ids) if one else [],
            "lease_ids": list(one.lease_ids) if one else [],
            "candidates": [name(other) for other in self.tries[:NAMED]] if one is None else [],
            "more": len(self.tries) > NAMED,
        }


class Provenance:
    """
    Know who had which credential.

    :param lines: of an audit, in about the order of time; None for those that are none
    """

    def __init__(self, lines: Iterable[Line | None]) -> None:
        self.malformed = 0
        self.forgotten = 0
        self._tries: dict[str, Try] = {}
        self._leases: dict[str, Lease] = {}
        self._by_key: dict[str, dict[str, None]] = {}
        self._by_principal: dict[str, dict[str, None]] = {}
        for line in lines:
            if line is None:
                self.malformed += 1
            elif line.outcome == "grant":
                self._note(line)

    def match(self, entry: Entry) -> Found:
        """Find who made a call."""
        signed = self._held(self._by_key, entry.access_key_ids)
        named = next((self._tries[one] for one in entry.ids if one in self._tries), None)
        if named:
            contradicted = bool(signed) and not any(named.correlation_id in lease.tries for lease in signed)
            return Found(entry=entry, how="correlation", tries=(named,), contradicted=contradicted)
        if signed:
            tries = self._holders(signed, entry.time)
            return Found(entry=entry, how="access key" if tries else "nobody", tries=tries)
        if of_principal := self._held(self._by_principal, entry.words):
            tries = self._holders(of_principal, entry.time)
            return Found(entry=entry, how="principal" if tries else "nobody", tries=tries)
        return Found(entry=entry, how="other" if entry.identity or entry.access_key_ids else "unknown")

    def _note(self, line: Line) -> None:
        """Remember a grant: of a lookup, whose try then holds the lease, or of a mint."""
        if line.lease_id is None:
            return
        lease = self._leases.setdefault(line.lease_id, Lease())
        if line.expires_at:
            lease.until = line.expires_at.timestamp()
        if line.access_key_id:
            lease.access_key_id = line.access_key_id
            self._by_key.setdefault(line.access_key_id, {})[line.lease_id] = None
        if line.principal:
            lease.principal = line.principal
            self._by_principal.setdefault(line.principal, {})[line.lease_id] = None
        if one := self._try(line):
            one.conn_ids[line.conn_id or "-"] = None
            one.lease_ids[line.lease_id] = None
            lease.tries.setdefault(one.correlation_id, line.time.timestamp())
        self._forget()

    def _try(self, line: Line) -> Try | None:
        if line.event != "lookup":
            return None
        who = line.caller
        facts = {key: getattr(who, key) for key in ("dag_id", "run_id", "task_id", "map_index", "try_number")}
        correlation_id = line.correlation_id or Caller(**facts).correlation_id
        return self._tries.setdefault(correlation_id, Try(who, correlation_id)) if correlation_id else None

    def _forget(self) -> None:
        """Drop what is oldest, where there is too much."""
        while len(self._tries) > MOST_TRIES:
            del self._tries[next(iter(self._tries))]
            self.forgotten += 1
        while len(self._leases) > MOST_LEASES:
            gone = next(iter(self._leases))
            lease = self._leases.pop(gone)
            self._by_key.get(lease.access_key_id or "", {}).pop(gone, None)
            self._by_principal.get(lease.principal or "", {}).pop(gone, None)
            self.forgotten += 1

    def _held(self, index: dict[str, dict[str, None]], keys: Iterable[str]) -> list[Lease]:
        """List the leases of some access keys or principals, the newest first."""
        ids = (lease_id for key in keys for lease_id in reversed(index.get(key, {})))
        return [self._leases[lease_id] for lease_id in ids if lease_id in self._leases]

    def _holders(self, leases: Iterable[Lease], time: float) -> tuple[Try, ...]:
        """List tries that held one of some leases at a time: as many as are ever named, and one more."""
        held = (
            correlation_id
            for lease in leases
            if time <= lease.until + SLACK
            for correlation_id, since in lease.tries.items()
            if since - SLACK <= time and correlation_id in self._tries
        )
        found: dict[str, None] = {}
        for one in held:
            found[one] = None
            if len(found) > NAMED:
                break
        return tuple(self._tries[one] for one in found)


def matched(entries: Iterable[Entry | None], provenance: Provenance, counts: Counter[str]) -> Iterator[Found]:
    """
    Match calls one at a time.

    :param entries: None for a line that is none of an access log
    :param counts: how many calls were matched by what, and how many lines are ``malformed``
    :return: all but those of others, which are counted only
    """
    for entry in entries:
        if entry is None:
            counts["malformed"] += 1
            continue
        found = provenance.match(entry)
        counts[found.how] += 1
        counts["contradicted"] += found.contradicted
        if found.how != "other":
            yield found


HEAD = ("time", "method", "path", "status", "ms", "how", "who")


def row(found: Found) -> tuple[str, ...]:
    """Lay out a call for a table."""
    call = found.entry
    who = "; ".join(name(one) for one in found.tries[:NAMED]) or call.identity or "-"
    told = (moment(call.time), call.method, call.path, call.status, call.duration_ms, found.how, who)
    return tuple("-" if cell is None else "".join(c if c.isprintable() else "?" for c in str(cell)) for cell in told)


def name(one: Try) -> str:
    """Name a try in one line."""
    who = one.who
    index = f" [{who.map_index}]" if who.map_index is not None and who.map_index >= 0 else ""
    attempt = f" try {who.try_number}" if who.try_number is not None else ""
    return f"{who.dag_id} {who.run_id} {who.task_id}{index}{attempt}"


def moment(epoch: float) -> str:
    """Write a moment as the timeline of the audit does."""
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
