"""What tasks and triggers do with Snowflake for longer than a token lives; its names lead to this machine."""

from __future__ import annotations

from typing import Any

from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
from airflow.providers.snowflake.hooks.sql_api import SnowflakeSqlApiHook
from airflow.providers.snowflake.operators.snowflake import SnowflakeSqlApiOperator

from tests.shapes.tasks.asking import again, attempt, deferred, lookups, tell, uri
from tests.shapes.tasks.names import lead

lead("snowflakecomputing.com")
WHO = "SELECT CURRENT_USER()"


def outlive(hook: Any, api: Any) -> list[Any]:
    """Use two hooks until their tokens have died three times; each use of the one is a session of its own."""
    found: list[Any] = []

    def use() -> None:
        found.append(attempt(lambda: list(hook.get_first(WHO))))
        found.append(attempt(lambda: api.execute_query(WHO, statement_count=1)))

    again(use)
    return found


operator = SnowflakeSqlApiOperator(
    task_id="t",
    snowflake_conn_id="warehouse",
    sql=WHO,
    statement_count=1,
    poll_interval=0,
    do_xcom_push=False,
    durable=False,
    deferrable=True,
)
hook, api = SnowflakeHook("warehouse"), SnowflakeSqlApiHook("warehouse")
outlived: list[Any] = []
reads = lookups("warehouse", lambda: outlived.extend(outlive(hook, api)))
tell(
    reads=reads,
    outlived=outlived,
    deferred=attempt(lambda: deferred(operator)),
    dead=attempt(lambda: SnowflakeHook("dead").get_first(WHO)),
    uris=[uri(hook)],
)
