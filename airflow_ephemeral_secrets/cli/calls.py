"""The calls in a gateway's access log, each with the task that made it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from airflow_ephemeral_secrets import archive, logfile, timeline
from airflow_ephemeral_secrets.cli.table import render
from airflow_ephemeral_secrets.gatewaylog import Entry
from airflow_ephemeral_secrets.provenance import HEAD, LONGEST_LIFE, Found, Provenance, Try, matched, row
from airflow_ephemeral_secrets.timeline import Wanted

MOST = 10_000
FACTS = ("dag_id", "task_id", "run_id")


def show(path: str, audit: Iterable[str], wanted: Wanted, *, as_json: bool) -> int:
    """
    Print the calls; 1 if some have an identity of ours, and no try that is known, or none, made them.

    :param path: of the gateway's log
    :param audit: files of the audit
    :param wanted: which tries, and calls since when
    :raises OSError: when a file cannot be read
    """
    since = None if wanted.since is None else wanted.since - LONGEST_LIFE
    provenance = Provenance(timeline.scan(audit, Wanted(outcome="grant", since=since)))
    counts: Counter[str] = Counter()
    rows: list[tuple[str, ...]] = []
    shown = 0
    for found in matched(_entries(path, wanted.since), provenance, counts):
        if not _admitted(found, wanted):
            continue
        shown += 1
        if as_json:
            print(msgspec.json.encode(found.told()).decode())
        elif len(rows) < MOST:
            rows.append(row(found))
    if not as_json:
        print(render(HEAD, rows))
        if shown > MOST:
            print(
                f"{shown - MOST} more calls are left out; --since, --json and the other options help", file=sys.stderr
            )
    counts["malformed in the audit"] = provenance.malformed
    print(", ".join(f"{how}: {number}" for how, number in sorted(counts.items()) if number), file=sys.stderr)
    return 1 if counts["nobody"] or counts["unknown"] or not shown else 0


def _entries(path: str, since: float | None) -> Iterator[Entry | None]:
    with archive.unpacked(path) as file:
        for one in logfile.entries(file, "file"):
            if one is None or since is None or one.time >= since:
                yield one


def _admitted(found: Found, wanted: Wanted) -> bool:
    """Say whether a call may have been made by a try that is wanted."""
    facts = {name: getattr(wanted, name) for name in FACTS if getattr(wanted, name) is not None}
    if not facts and wanted.conn_id is None and wanted.lease_id is None:
        return True
    return any(_is(one, facts, wanted) for one in found.tries)


def _is(one: Try, facts: dict[str, str], wanted: Wanted) -> bool:
    return (
        all(getattr(one.who, name) == value for name, value in facts.items())
        and (wanted.conn_id is None or wanted.conn_id in one.conn_ids)
        and (wanted.lease_id is None or wanted.lease_id in one.lease_ids)
    )
