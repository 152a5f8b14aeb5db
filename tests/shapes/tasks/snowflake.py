"""What tasks do with Snowflake, whose names lead to this machine."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.common.sql.triggers.sql import SQLExecuteQueryTrigger
from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
from airflow.providers.snowflake.operators.snowflake import SnowflakeSqlApiOperator

from tests.shapes.tasks.asking import attempt, deferred, execute, fired, lookups, tell, uri
from tests.shapes.tasks.names import lead

lead("snowflakecomputing.com")
WHO = "SELECT CURRENT_USER()"


def first(name: str) -> Any:
    return attempt(lambda: list(SnowflakeHook(name).get_first(WHO)))


def api(name: str, **given: Any) -> SnowflakeSqlApiOperator:
    return SnowflakeSqlApiOperator(
        task_id="t",
        snowflake_conn_id=name,
        sql=WHO,
        statement_count=1,
        poll_interval=0,
        do_xcom_push=False,
        durable=False,
        snowflake_api_retry_args={"retry": lambda _: False},
        **given,
    )


def twice() -> None:
    hook = SnowflakeHook("federated")
    for _ in range(2):
        hook.get_conn().close()


tell(
    hook={name: first(name) for name in ("federated", "pat")},
    refused={name: first(name) for name in ("federated_expired", "pat_expired", "oauth")},
    operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="federated", sql=WHO)),
    sql_trigger=fired(SQLExecuteQueryTrigger(sql=WHO, conn_id="pat")),
    api=attempt(lambda: execute(api("pat"))),
    api_deferred=attempt(lambda: deferred(api("pat", deferrable=True))),
    api_refused={name: attempt(lambda name=name: execute(api(name))) for name in ("pat_expired", "federated")},
    once=lookups("federated", lambda: SnowflakeHook("federated").get_conn().close()),
    twice=lookups("federated", twice),
    uris=[uri(SnowflakeHook("federated")), uri(SnowflakeHook("pat"))],
)
