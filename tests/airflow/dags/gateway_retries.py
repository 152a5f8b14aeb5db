"""Tasks that a gateway sends away: for a while, for good, and for a token that it takes no more."""

from __future__ import annotations

import time
from datetime import timedelta
from importlib.util import find_spec

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import BaseHook, dag, task

from airflow_ephemeral_secrets.gateway import GatewayHook, GatewayRetryPolicy
from airflow_ephemeral_secrets.live.supply import SETTLED

RETRIES = {"retries": 5, "retry_delay": timedelta(seconds=5)}
if find_spec("airflow.sdk.definitions.retry_policy"):  # since Airflow 3.3
    RETRIES["retry_policy"] = GatewayRetryPolicy(timedelta(seconds=1))


@dag(schedule="@once", default_args=RETRIES)
def gateway_retries():
    HttpOperator(task_id="throttled", http_conn_id="throttled", endpoint="/", method="GET")
    HttpOperator(task_id="gone", http_conn_id="gone", endpoint="/", method="GET")

    @task
    def rejected():
        BaseHook.get_connection("rejected")
        time.sleep(SETTLED)
        GatewayHook("rejected").run("/")

    rejected()


gateway_retries()
