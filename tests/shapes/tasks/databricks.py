"""What tasks do with Databricks, whose names lead to this machine where the hook forces https."""

from __future__ import annotations

from typing import Any

from airflow.providers.databricks.hooks.databricks import DatabricksHook
from airflow.providers.databricks.hooks.databricks_sql import DatabricksSqlHook
from airflow.providers.databricks.operators.databricks import DatabricksSubmitRunOperator
from airflow.providers.databricks.operators.databricks_sql import DatabricksSqlOperator

from tests.shapes.tasks.asking import attempt, deferred, execute, lookups, tell, uri
from tests.shapes.tasks.names import lead

lead("cloud.databricks.com")


def submit(name: str, **given: Any) -> DatabricksSubmitRunOperator:
    return DatabricksSubmitRunOperator(
        task_id="t",
        databricks_conn_id=name,
        tasks=[{"task_key": "t"}],
        polling_period_seconds=0,
        do_xcom_push=False,
        durable=False,
        **given,
    )


def first(name: str) -> Any:
    return attempt(lambda: list(DatabricksSqlHook(name).get_first("SELECT 1")))


def twice(hook: Any) -> int:
    return lookups("workspace", lambda: [hook.get_run_state(1) for _ in range(2)])


def reconnects(hook: Any) -> int:
    return lookups("sql", lambda: [hook.get_conn() for _ in range(2)])


tell(
    submitted=attempt(lambda: execute(submit("workspace"))),
    deferred=attempt(lambda: deferred(submit("workspace", deferrable=True))),
    sql=first("sql"),
    operator=attempt(lambda: execute(DatabricksSqlOperator(task_id="t", databricks_conn_id="sql", sql="SELECT 1"))),
    refused={
        "workspace_expired": attempt(lambda: execute(submit("workspace_expired"))),
        "workspace_login": attempt(lambda: execute(submit("workspace_login"))),
        "sql_expired": first("sql_expired"),
        "sql_impostor": first("sql_impostor"),
    },
    lookups=[twice(DatabricksHook("workspace")), reconnects(DatabricksSqlHook("sql"))],
    uris=[uri(DatabricksSqlHook("sql"))],
)
