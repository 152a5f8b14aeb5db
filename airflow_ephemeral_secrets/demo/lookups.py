"""What each conn_id became, by the audit trail."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Lookups:
    """What one task asked for under one conn_id, and how often each place answered."""

    dag_id: str
    run_id: str
    task_id: str
    conn_id: str
    recipe: str
    source: str
    kind: str
    principal: str | None
    expires_at: str | None
    answers: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def dag_run(self) -> tuple[str, str]:
        return self.dag_id, self.run_id


def read(audit: Path) -> list[Lookups]:
    """Return the lookups of every task and conn_id, by Dag run and time."""
    found: dict[Lookups, Lookups] = {}
    for line in audit.read_text().splitlines() if audit.exists() else ():
        event = json.loads(line)
        if event["event"] == "lookup":
            one = _lookups(event)
            answers, origin = found.setdefault(one, one).answers, event.get("from") or event["outcome"]
            answers[origin] = answers.get(origin, 0) + 1
    return sorted(found, key=attrgetter("dag_run"))


def _lookups(event: dict[str, Any]) -> Lookups:
    caller = event["caller"]
    return Lookups(
        dag_id=caller["dag_id"],
        run_id=caller["run_id"],
        task_id=caller["task_id"],
        conn_id=event["conn_id"],
        recipe=event["recipe"],
        source=event["source"],
        kind=event["kind"],
        principal=event.get("principal"),
        expires_at=None if event["kind"] == "static" else event.get("expires_at"),
    )
