"""Read a bucket from plain Python tasks, two of them at the same time."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import DAG, task


@task
def count_objects() -> int:
    """Count what has landed."""
    return len(S3Hook("lake").list_keys("demo-lake", prefix="landing"))


@task
def read_manifest() -> None:
    """Print what should have landed."""
    print(S3Hook("lake").read_key("landing/manifest.json", "demo-lake"))


@task
def read_orders() -> None:
    """Print the orders."""
    print(S3Hook("lake").read_key("landing/orders.json", "demo-lake"))


with DAG("lake_inventory", schedule="@once", start_date=datetime(2026, 1, 1)):
    [count_objects(), read_manifest()] >> read_orders()
