"""The table says what the audit trail says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_ephemeral_secrets.demo import lookups

RUN = "scheduled__2026-01-01T00:00:00+00:00"


def event(task_id: str, origin: str | None, **others: Any) -> dict[str, Any]:
    return {
        "event": "lookup",
        "caller": {"dag_id": "lake_copy", "run_id": RUN, "task_id": task_id},
        "conn_id": "lake",
        "recipe": "lake",
        "source": "lake-reader",
        "kind": "aws_assume_role",
        "principal": "arn:aws:sts::123456789012:assumed-role/airflow-lake_copy/lake_copy",
        "expires_at": "2026-01-01T10:15:00.123Z",
        "outcome": "grant" if origin else "deny",
        **({"from": origin} if origin else {}),
        **others,
    }


def trail(folder: Path, *events: dict[str, Any]) -> Path:
    path = folder / "audit.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def test_counts_the_answers_of_a_task(tmp_path: Path) -> None:
    """Lookups of one task and conn_id are one row that says where the tokens came from; mints are no lookups."""
    path = trail(
        tmp_path,
        event("a", "minted"),
        event("a", "memory"),
        event("a", "memory"),
        event("b", "host"),
        event("a", None),
        event("a", "minted", event="mint"),
    )

    rows = lookups.read(path)

    assert [(one.task_id, one.answers) for one in rows] == [
        ("a", {"minted": 1, "memory": 2, "deny": 1}),
        ("b", {"host": 1}),
    ]


def test_keeps_dag_runs_together(tmp_path: Path) -> None:
    """Rows of one Dag run stand together, whoever came first."""
    other = {"dag_id": "orders_sync", "run_id": RUN, "task_id": "fetch"}
    path = trail(tmp_path, event("a", "minted"), event("x", "minted", caller=other), event("b", "host"))

    assert [one.task_id for one in lookups.read(path)] == ["a", "b", "fetch"]


def test_static_secrets_never_expire(tmp_path: Path) -> None:
    """What has no short-lived form is not shown as if it had one."""
    (row,) = lookups.read(trail(tmp_path, event("a", "minted", kind="static", principal=None)))

    assert row.expires_at is None


def test_nothing_was_audited(tmp_path: Path) -> None:
    """Without an audit file there are no rows."""
    assert lookups.read(tmp_path / "absent") == []
