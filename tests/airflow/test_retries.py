"""Retries in a real Airflow: when, and why, by what a gateway said."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="needs Airflow 3.3")
pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


def tries(airflow: Airflow, table: str, task_id: str) -> list[tuple[str | None, float | None, str]]:
    """Read of each try of a task why it was followed by another, after how long, and how it ended."""
    columns = "retry_reason, retry_delay_override, state"
    query = f"SELECT {columns} FROM {table} WHERE dag_id = 'gateway_retries' AND task_id = ?"
    with closing(sqlite3.connect(airflow.metadata.database)) as connection:
        return connection.execute(query, (task_id,)).fetchall()


@pytest.mark.parametrize(
    ("task_id", "told", "shortest"),
    [
        ("throttled", "the gateway answered 429 and asks for 2 s; again in ", 2.0),
        ("rejected", " is forgotten, a new token is minted; again in ", 0.0),
    ],
)
def test_retried(airflow: Airflow, task_id: str, told: str, shortest: float) -> None:
    """The reason and the delay of a retry stand in the task instance, and the next try succeeds."""
    ((_, _, state),) = tries(airflow, "task_instance", task_id)
    assert state == "success", airflow.task_log("gateway_retries", task_id)
    (delay,) = [delay for reason, delay, _ in tries(airflow, "task_instance_history", task_id) if told in str(reason)]
    assert delay is not None
    assert shortest <= delay <= 4


def test_failed_at_once(airflow: Airflow) -> None:
    """Where trying again is no use, the failure is the last, and the log says why."""
    ((_, _, state),) = tries(airflow, "task_instance", "gone")
    log = airflow.task_log("gateway_retries", "gone")
    assert state == "failed", log
    assert log.count("the gateway answered 404: no use in trying again") == 1


def test_the_rejected_lease_is_in_the_audit_trail(airflow: Airflow) -> None:
    """Whoever reads the log of the task sees that a lease was given up, and the mint after it."""
    log = airflow.task_log("gateway_retries", "rejected")
    assert r"\"event\":\"invalidation\"" in log
    assert log.count(r"\"event\":\"mint\"") == 2
