"""Started once the host store cannot be used."""

from __future__ import annotations

from airflow.sdk import BaseHook, dag, task


@dag(schedule=None)
def store_unusable():
    @task
    def ask():
        print("GOT", BaseHook.get_connection("lake").conn_type)

    ask()


store_unusable()
