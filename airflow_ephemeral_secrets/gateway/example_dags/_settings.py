"""What the examples share."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

import airflow.sdk

from airflow_ephemeral_secrets.gateway import GatewayRetryPolicy, ResponseChecks

RETRIES: dict[str, Any] = {"retries": 5, "retry_delay": timedelta(seconds=3)}
if hasattr(airflow.sdk, "RetryPolicy"):  # since Airflow 3.3
    RETRIES["retry_policy"] = GatewayRetryPolicy(base_delay=timedelta(seconds=1))

ONCE: dict[str, Any] = {"schedule": "@once", "start_date": datetime(2026, 1, 1)}

TRACES = f"file://{os.environ.get('AIRFLOW_HOME', '/tmp')}/traces"  # noqa: S108  # only where Airflow has no home
"""Where the traces go: any path that fsspec knows, such as ``s3://conn_id@bucket/prefix``."""

ORDERS = ResponseChecks(
    json_schema={"type": "array", "items": {"type": "object", "required": ["id", "status"]}},
    min_items=1,
    max_bytes=1_000_000,
)
PAGES = ["/orders?page=1", "/orders?page=2"]
