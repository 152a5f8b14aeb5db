"""A Dag file that asks for a connection at its top level."""

from __future__ import annotations

from airflow.sdk import BaseHook, dag, task

host = BaseHook.get_connection("case_parse").host


@dag(schedule=None)
def asks_while_parsed():
    @task
    def show():
        print(host)

    show()


asks_while_parsed()
