"""One task per way to fail: each asks for a conn_id of which stale decoys lie in the environment and the database."""

from __future__ import annotations

import os
import sys

from airflow.sdk import BaseHook, dag, task

CASES = (
    "policy",
    "refused",
    "timed_out",
    "garbage",
    "missing_package",
    "missing_secret",
    "unset_secret",
    "unfilled",
    "expired_token",
    "invalid_client",
    "invalid_scope",
    "narrow_scope",
    "dead_on_arrival",
    "untrusted",
    "moved",
    "unreachable",
    "unavailable",
)
ON_OTHER_WORKERS = {
    "no_identity": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    "no_metadata_server": {"GCE_METADATA_HOST": "127.0.0.1:9"},
    "remote_logging": {
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "case_remote_logging",
    },
    "unknown_kwarg": {"AIRFLOW__SECRETS__BACKEND_KWARG__CONFIG_PATH": "/opt/airflow/ephemeral.yaml"},
}
"""Cases of workers that are set up in another way, by variables."""


@dag(schedule="@once")
def fail_closed():
    @task
    def ask(conn_id: str, environment: dict[str, str]):
        os.environ.update(environment)
        print("GOT", BaseHook.get_connection(conn_id).host)

    @task
    def ask_without_boto3(conn_id: str):
        sys.modules["boto3"] = None
        print("GOT", BaseHook.get_connection(conn_id).host)

    for case in (*CASES, *ON_OTHER_WORKERS):
        if case == "missing_package":
            ask_without_boto3.override(task_id=case)(f"case_{case}")
        else:
            ask.override(task_id=case)(f"case_{case}", ON_OTHER_WORKERS.get(case, {}))


fail_closed()
