"""What Airflow's metadata database says, read without taking part in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

FINISHED = frozenset({"success", "failed"})


class TaskState(NamedTuple):
    """One task instance as the scheduler sees it."""

    dag_id: str
    task_id: str
    map_index: int
    run_id: str
    try_number: int
    operator: str
    state: str | None


class Metadata:
    """
    Ask the SQLite database of a running or stopped Airflow.

    :param database: the file
    """

    def __init__(self, database: Path) -> None:
        self.database = database

    @property
    def url(self) -> str:
        """Name it as Airflow's ``sql_alchemy_conn`` does."""
        return f"sqlite:///{self.database}"

    def runs(self) -> dict[str, str]:
        """Return the state of each Dag's latest run."""
        return dict(self._rows("SELECT dag_id, state FROM dag_run ORDER BY id"))

    def tasks(self) -> list[TaskState]:
        """Return every task instance."""
        columns = ", ".join(TaskState._fields)
        return [TaskState(*row) for row in self._rows(f"SELECT {columns} FROM task_instance ORDER BY start_date")]

    def import_errors(self) -> list[str]:
        """Return the tracebacks of Dag files that did not parse."""
        return [trace for (trace,) in self._rows("SELECT stacktrace FROM import_error")]

    def size(self, table: str) -> int:
        """Return the number of rows of a table."""
        ((rows,),) = self._rows(f'SELECT count(*) FROM "{table}"')
        return int(rows)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()
