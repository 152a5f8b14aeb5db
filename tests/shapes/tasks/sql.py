"""What tasks do with PostgreSQL and Redshift."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook
from airflow.providers.common.sql.operators.generic_transfer import GenericTransfer
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.common.sql.triggers.sql import SQLExecuteQueryTrigger
from airflow.providers.postgres.hooks.postgres import PostgresHook

from tests.shapes.tasks.asking import attempt, deferred, execute, fired, lookups, tell, uri

WHO = "SELECT current_user, current_database(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def first(hook: Any) -> Any:
    return attempt(lambda: hook.get_first(WHO))


def engine(conn_id: str) -> Any:
    with PostgresHook(conn_id).get_sqlalchemy_engine().connect() as connection:
        return list(connection.exec_driver_sql(WHO).one())


def twice() -> None:
    hook = PostgresHook("pg")
    for _ in range(2):
        hook.get_conn().close()


def redshift() -> Any:
    hook = RedshiftSQLHook("redshift")
    return lookups("redshift", lambda: [hook.get_first("SELECT 1") for _ in range(2)])


tell(
    hook={name: first(PostgresHook(name)) for name in ("pg", "pg_token", "pg_default", "pg_another")},
    refused={name: first(PostgresHook(name)) for name in ("pg_wrong", "pg_expired", "pg_unknown_key", "pg_impostor")},
    engine=attempt(lambda: engine("pg")),
    engine_impostor=attempt(lambda: engine("pg_impostor")),
    operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="pg", sql=WHO)),
    deferred=deferred(
        GenericTransfer(
            task_id="t",
            sql=WHO,
            destination_table="d",
            source_conn_id="pg",
            destination_conn_id="pg",
            page_size=1,
            deferrable=True,
        )
    ),
    deferred_wrong=fired(SQLExecuteQueryTrigger(sql=WHO, conn_id="pg_wrong")),
    lookups=lookups("pg", twice),
    redshift=attempt(lambda: list(RedshiftSQLHook("redshift").get_first("SELECT current_user, current_database()"))),
    redshift_operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="redshift", sql="SELECT current_user")),
    redshift_deferred=fired(SQLExecuteQueryTrigger(sql="SELECT current_user", conn_id="redshift")),
    redshift_wrong=first(RedshiftSQLHook("redshift_wrong")),
    redshift_lookups=redshift(),
    uris=[uri(PostgresHook("pg")), uri(RedshiftSQLHook("redshift"))],
)
