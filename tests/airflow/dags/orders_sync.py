"""What holds leases: mapped tasks that share one, and a task with one of its own."""

from __future__ import annotations

from airflow.sdk import BaseHook, dag, task


@dag(schedule="@once")
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
