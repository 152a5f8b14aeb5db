"""What tasks do with Trino."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.common.sql.triggers.sql import SQLExecuteQueryTrigger
from airflow.providers.trino.hooks.trino import TrinoHook

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell, uri

WHO = "SELECT current_user"


def first(name: str) -> Any:
    return attempt(lambda: TrinoHook(trino_conn_id=name).get_first(WHO))


tell(
    hook={name: first(name) for name in ("trino", "trino_basic")},
    refused={name: first(name) for name in ("trino_expired", "trino_wrong", "trino_both", "trino_impostor")},
    operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="trino", sql=WHO)),
    deferred=fired(SQLExecuteQueryTrigger(sql=WHO, conn_id="trino")),
    uris=[uri(TrinoHook(trino_conn_id="trino")), uri(TrinoHook(trino_conn_id="trino_basic"))],
    once=lookups("trino", lambda: TrinoHook(trino_conn_id="trino").get_conn()),
    twice=lookups("trino", lambda: [hook.get_conn() for hook in [TrinoHook(trino_conn_id="trino")] * 2]),
)
