"""An API behind Okta: sent away with ``Retry-After``, a task waits in the triggerer and leaves its worker to others."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_ephemeral_secrets.gateway import GatewayOperator
from airflow_ephemeral_secrets.gateway.example_dags._settings import ONCE, ORDERS, PAGES, RETRIES, TRACES

with DAG("example_okta", default_args=RETRIES, **ONCE):
    GatewayOperator.partial(
        task_id="fetch", http_conn_id="okta_orders", method="GET", checks=ORDERS, trace=TRACES, deferrable=True
    ).expand(endpoint=PAGES)
