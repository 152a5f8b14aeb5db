"""What tasks do with MySQL."""

from __future__ import annotations

import logging
import os
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.common.sql.triggers.sql import SQLExecuteQueryTrigger
from airflow.providers.mysql.hooks.mysql import MySqlHook
from airflow.sdk.log import redact

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell, uri

CIPHER = "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'"
WHO = f"SELECT CURRENT_USER(), DATABASE(), ({CIPHER}) <> ''"


def first(name: str) -> Any:
    return attempt(lambda: MySqlHook(mysql_conn_id=name).get_first(WHO))


def connect(name: str) -> Any:
    return attempt(lambda: MySqlHook(mysql_conn_id=name).get_conn().close())


def twice() -> None:
    hook = MySqlHook(mysql_conn_id="mysql")
    for _ in range(2):
        hook.get_conn().close()


class Kept(logging.Handler):
    """Keep what a driver logs, as it is and as a task's log shows it, away from the log of this process."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.leaks = 0
        logger = logging.getLogger(name)
        logger.propagate, logger.handlers = False, [self]

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.shown.append(redact(text))
        self.leaks += os.environ["TOKEN"] in text


driver = Kept("mysql.connector")
tell(
    hook={name: first(name) for name in ("mysql", "mysql_token", "mysql_verified", "mysql_connector")},
    refused={name: first(name) for name in ("mysql_wrong", "mysql_connector_wrong", "mysql_plain", "mysql_impostor")},
    rds={name: connect(name) for name in ("rds", "rds_connector")},
    rds_refused={name: connect(name) for name in ("rds_expired", "rds_connector_expired")},
    operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="mysql", sql=WHO)),
    deferred=fired(SQLExecuteQueryTrigger(sql=WHO, conn_id="mysql")),
    lookups=lookups("mysql", twice),
    driver=driver.shown,
    driver_leaks=driver.leaks,
    uris=[uri(MySqlHook(mysql_conn_id="mysql"))],
)
