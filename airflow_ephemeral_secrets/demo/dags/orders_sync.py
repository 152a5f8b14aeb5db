"""Fetch orders from an HTTP API that wants a Bearer token."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

with DAG(
    "orders_sync",
    schedule="@once",
    start_date=datetime(2026, 1, 1),
    default_args={"http_conn_id": "orders_api", "method": "GET", "log_response": True},
):
    fetch_orders = HttpOperator(task_id="fetch_orders", endpoint="/orders")
    fetch_open_orders = HttpOperator(task_id="fetch_open_orders", endpoint="/orders?status=open")

    fetch_orders >> fetch_open_orders
