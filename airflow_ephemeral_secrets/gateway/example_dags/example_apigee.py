"""Apigee: a rate limit that all tasks of a host share keeps them below the spike arrest."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_ephemeral_secrets.gateway import GatewayOperator
from airflow_ephemeral_secrets.gateway.example_dags._settings import ONCE, ORDERS, PAGES, RETRIES, TRACES

with DAG("example_apigee", default_args=RETRIES, **ONCE):
    GatewayOperator.partial(
        task_id="fetch", http_conn_id="apigee_orders", method="GET", checks=ORDERS, trace=TRACES, rate_limit="1/s"
    ).expand(endpoint=PAGES)
