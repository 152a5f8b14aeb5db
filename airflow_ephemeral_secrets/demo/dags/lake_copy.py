"""List, copy and list again in a bucket, with the S3 operators of the amazon provider."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.amazon.aws.operators.s3 import S3CopyObjectOperator, S3ListOperator
from airflow.sdk import DAG

with DAG("lake_copy", schedule="@once", start_date=datetime(2026, 1, 1), default_args={"aws_conn_id": "lake"}):
    list_landing = S3ListOperator(task_id="list_landing", bucket="demo-lake", prefix="landing")
    copy_orders = S3CopyObjectOperator(
        task_id="copy_orders",
        source_bucket_name="demo-lake",
        source_bucket_key="landing/orders.json",
        dest_bucket_name="demo-lake",
        dest_bucket_key="reports/orders.json",
    )
    list_reports = S3ListOperator(task_id="list_reports", bucket="demo-lake", prefix="reports")

    list_landing >> copy_orders >> list_reports
