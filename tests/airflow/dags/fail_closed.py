"""One task per way to fail: each asks for a conn_id of which stale decoys lie in the environment and the database."""

from __future__ import annotations

import sys

from airflow.sdk import BaseHook, dag, task

CASES = ("policy", "refused", "timed_out", "garbage", "missing_package", "missing_secret", "unfilled")


@dag(schedule="@once")
def fail_closed():
    @task
    def ask(conn_id: str):
        print("GOT", BaseHook.get_connection(conn_id).host)

    @task
    def ask_without_boto3(conn_id: str):
        sys.modules["boto3"] = None
        print("GOT", BaseHook.get_connection(conn_id).host)

    for case in CASES:
        asking = ask_without_boto3 if case == "missing_package" else ask
        asking.override(task_id=case)(f"case_{case}")


fail_closed()
