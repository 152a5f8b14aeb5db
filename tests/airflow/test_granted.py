"""What a real Airflow gets when all is well: working connections, masked wherever they are printed."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow
from tests.airflow.conftest import PASSWORD, TOKEN

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("task_id", ["careless", "template", "call", "call_deferred"])
def test_stock_tasks_succeed(airflow: Airflow, task_id: str) -> None:
    """Connections, variables and templates resolve in a task, and asynchronously in the triggerer."""
    states = {task.task_id: task.state for task in airflow.metadata.tasks() if task.dag_id == "granted"}
    assert states[task_id] == "success", airflow.task_log("granted", task_id)


@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe=""),
        PASSWORD,
        quote(PASSWORD, safe=""),
        base64.b64encode(f"reader:{PASSWORD}".encode()).decode(),
    ],
    ids=["token", "quoted", "quoted whole", "password", "password quoted", "basic"],
)
def test_printed_secret_is_masked(airflow: Airflow, form: str) -> None:
    """No form of a secret stands in any log, of a task or of a component, however carelessly a task prints it."""
    logs = [path for path in airflow.logs.rglob("*") if path.is_file()]
    assert len(logs) > 15
    assert [path.name for path in logs if form in path.read_text(errors="replace")] == []


def test_careless_task_printed_it_all(airflow: Airflow) -> None:
    """The masking test is not empty: the careless task printed every line, and stars stand where the secrets were."""
    log = airflow.task_log("granted", "careless")
    for line in ("extra ***", "uri http://", "token *** quoted *** ***", "Basic ***", "variable ***", "DONE"):
        assert line in log


def test_lookups_outside_the_database_stay_there(airflow: Airflow) -> None:
    """What was rendered into templates reached the metadata database masked."""
    database = airflow.metadata.database.read_bytes()
    assert TOKEN.encode() not in database
    assert PASSWORD.encode() not in database
