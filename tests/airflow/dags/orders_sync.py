"""What holds leases: mapped tasks that share one, and a task with one of its own."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import BaseHook, dag, task


# on a busy machine Airflow itself may fail to start a task
@dag(schedule="@once", default_args={"retries": 3, "retry_delay": timedelta(seconds=1)})
def orders_sync():
    @task
    def extract(shop: str):
        print("GOT", shop, BaseHook.get_connection("orders").host)

    @task
    def load():
        print("GOT", BaseHook.get_connection("lake").conn_type)

    extract.expand(shop=["paris", "oslo", "lima"])
    load()


orders_sync()
