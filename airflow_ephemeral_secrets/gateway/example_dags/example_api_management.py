"""Azure API Management: a subscription key and a token; a quota that is used up says when it is replenished."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_ephemeral_secrets.gateway import GatewayOperator
from airflow_ephemeral_secrets.gateway.example_dags._settings import ONCE, ORDERS, PAGES, RETRIES, TRACES

with DAG("example_api_management", default_args=RETRIES, **ONCE):
    GatewayOperator.partial(
        task_id="fetch", http_conn_id="api_management_orders", method="GET", checks=ORDERS, trace=TRACES
    ).expand(endpoint=PAGES)
