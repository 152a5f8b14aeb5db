"""Retries in a real Airflow: when, and why, by what a gateway said."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


def tries(airflow: Airflow, table: str) -> dict[str, tuple[str | None, float | None, str, int]]:
    """Read why a task was retried, after how long, how a try of it ended, and which."""
    columns = "task_id, retry_reason, retry_delay_override, state, try_number"
    query = f"SELECT {columns} FROM {table} WHERE dag_id = 'gateway_retries'"
    with closing(sqlite3.connect(airflow.metadata.database)) as connection:
        return {task_id: rest for task_id, *rest in connection.execute(query)}


@pytest.mark.parametrize(
    ("task_id", "told", "shortest"),
    [
        ("throttled", "the gateway answered 429 and asks for 2 s; again in ", 2.0),
        ("rejected", " is forgotten, a new token is minted; again in ", 0.0),
    ],
)
def test_retried(airflow: Airflow, task_id: str, told: str, shortest: float) -> None:
    """The reason and the delay of a retry stand in the task instance, and the next try succeeds."""
    _, _, state, last = tries(airflow, "task_instance")[task_id]
    assert (state, last) == ("success", 2), airflow.task_log("gateway_retries", task_id)
    reason, delay, _, first = tries(airflow, "task_instance_history")[task_id]
    assert first == 1
    assert told in str(reason)
    assert delay is not None
    assert shortest <= delay <= 4


def test_failed_at_once(airflow: Airflow) -> None:
    """Where trying again is no use, the first failure is the last, and the log says why."""
    _, _, state, last = tries(airflow, "task_instance")["gone"]
    assert (state, last) == ("failed", 1)
    assert "the gateway answered 404: no use in trying again" in airflow.task_log("gateway_retries", "gone")


def test_the_rejected_lease_is_in_the_audit_trail(airflow: Airflow) -> None:
    """Whoever reads the log of the task sees that a lease was given up, and the mint after it."""
    log = airflow.task_log("gateway_retries", "rejected")
    assert r"\"event\":\"invalidation\"" in log
    assert log.count(r"\"event\":\"mint\"") == 2
