"""What tasks do with databases for which their hooks make a token each time they connect."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.mysql.hooks.mysql import MySqlHook
from airflow.providers.postgres.hooks.postgres import PostgresHook

from tests.shapes.tasks.asking import asked, attempt, execute, tell

LEAST = 5
SECONDS = float(os.environ["SECONDS"])


def again_and_again(connect: Callable[[], Any]) -> list[Any]:
    """Connect, for longer than any keys live."""
    until = time.monotonic() + SECONDS
    found = []
    while time.monotonic() < until or len(found) < LEAST:
        found.append(attempt(connect))
        time.sleep(0.3)
    return found


postgres, mysql, entra = PostgresHook("shop"), MySqlHook(mysql_conn_id="stock"), PostgresHook("shop_entra")


def both() -> list[Any]:
    mysql.get_conn().close()
    return list(postgres.get_first("SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))


found = again_and_again(both)
found_by_entra = again_and_again(lambda: entra.get_first("SELECT current_user")[0])
lookups = {name: asked.count(name) for name in ("shop", "stock", "lake", "shop_entra", "entra")}
tell(
    found=found,
    found_by_entra=found_by_entra,
    lookups=lookups,
    operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="shop", sql="SELECT current_user")),
    static=attempt(lambda: PostgresHook("shop_static").get_first("SELECT current_user")),
    refused=attempt(lambda: PostgresHook("shop_of_another").get_first("SELECT 1")),
)
