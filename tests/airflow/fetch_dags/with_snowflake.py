"""Work that outlives its tokens several times, in a task and in the triggerer: statements."""

from __future__ import annotations

from airflow.providers.snowflake.hooks.sql_api import SnowflakeSqlApiHook
from airflow.providers.snowflake.operators.snowflake import SnowflakeSqlApiOperator
from airflow.sdk import dag, task

from tests.airflow.fetching import again_and_again


@dag(schedule="@once")
def snowflake() -> None:
    @task
    def snowflake_task():
        hook = SnowflakeSqlApiHook("warehouse")
        again_and_again(lambda: hook.check_query_output(["task"]))

    snowflake_task()
    SnowflakeSqlApiOperator(
        task_id="snowflake_trigger",
        snowflake_conn_id="warehouse",
        sql="SELECT 1",
        statement_count=1,
        poll_interval=0.3,
        deferrable=True,
    )


snowflake()
