"""A hundred mapped tasks that call a gateway, three times: stock, with the retry policy, and with a rate limit too."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

from airflow_ephemeral_secrets.gateway import GatewayOperator, GatewayRetryPolicy

TASKS = 100
TOGETHER = 10.0
"""Seconds: tasks that are ready wait for the next multiple, and then call at the same moment."""


def together(context: Mapping[str, Any]) -> None:
    if context["ti"].try_number == 1:
        time.sleep(TOGETHER - time.time() % TOGETHER)


CALLS = {"task_id": "call", "method": "GET", "do_xcom_push": False, "retries": 3, "pre_execute": together}
ENDPOINTS = [f"/orders?page={page}" for page in range(TASKS)]
POLICY = {"retry_policy": GatewayRetryPolicy()}

with DAG("stock", schedule=None):
    stock = {**CALLS, "retry_delay": timedelta(seconds=5)}
    HttpOperator.partial(http_conn_id="stock", **stock).expand(endpoint=ENDPOINTS)

with DAG("policy", schedule=None):
    HttpOperator.partial(http_conn_id="policy", **CALLS, **POLICY).expand(endpoint=ENDPOINTS)

with DAG("paced", schedule=None):
    GatewayOperator.partial(http_conn_id="paced", rate_limit="10/s", **CALLS, **POLICY).expand(endpoint=ENDPOINTS)
