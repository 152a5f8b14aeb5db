"""Started once the configuration has been broken."""

from __future__ import annotations

from airflow.sdk import BaseHook, dag, task


@dag(schedule=None)
def broken_config():
    @task
    def owned():
        print("GOT", BaseHook.get_connection("case_broken").host)

    @task
    def somebody_elses():
        print("GOT", BaseHook.get_connection("not_ours").host)

    owned()
    somebody_elses()


broken_config()
