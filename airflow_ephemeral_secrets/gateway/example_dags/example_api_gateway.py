"""Amazon API Gateway: signed by a live connection; what its usage plan throttles comes back by the retry policy."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_ephemeral_secrets.gateway import GatewayOperator
from airflow_ephemeral_secrets.gateway.example_dags._settings import ONCE, ORDERS, PAGES, RETRIES, TRACES

with DAG("example_api_gateway", default_args=RETRIES, **ONCE):
    GatewayOperator.partial(
        task_id="fetch", http_conn_id="api_gateway_orders", method="GET", checks=ORDERS, trace=TRACES
    ).expand(endpoint=PAGES)
