"""Stock operators on minted credentials, sync and deferred, and all that a careless task may do with them."""

from __future__ import annotations

import os
import traceback
from datetime import timedelta
from urllib.parse import quote

from airflow.providers.amazon.aws.operators.s3 import S3ListOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import BaseHook, Variable, dag, task

from airflow_ephemeral_secrets.gateway import (
    GatewayOperator,
    PostmanCollectionOperator,
    PostmanMonitorOperator,
    ResponseChecks,
)

DEFERRED = {"deferrable": True, "retries": 5, "retry_delay": timedelta(seconds=1)}


def tell(context):
    print("callback", BaseHook.get_connection("orders").extra, context["exception"])


@dag(schedule="@once")
def clean():
    orders = {"http_conn_id": "orders", "endpoint": "/orders", "method": "GET"}
    headers = {
        "X-Token": "{{ var.value.API_TOKEN }}",
        "X-Uri": "{{ conn.orders.extra_dejson.Authorization | urlencode }}",
    }
    HttpOperator(task_id="call", headers=headers, **orders)
    HttpOperator(task_id="call_deferred", **orders, **DEFERRED)
    GatewayOperator(
        task_id="gateway",
        http_conn_id="busy",
        method="POST",
        endpoint="/orders?token={{ var.value.API_TOKEN }}",
        data={"token": "{{ var.value.API_TOKEN }}"},
        headers=headers,
        checks=ResponseChecks(min_items=1),
        trace=f"file://{os.environ['AIRFLOW_HOME']}/traces",
        rate_limit="10/s",
        **DEFERRED,
    )
    HttpSensor(task_id="sense", poke_interval=1, **orders)
    HttpSensor(task_id="sense_deferred", poke_interval=1, **orders, **DEFERRED)
    S3ListOperator(task_id="list", bucket="demo-lake", aws_conn_id="lake")
    SQLExecuteQueryOperator(task_id="query", conn_id="db", sql="SELECT 42 AS answer", show_return_value_in_logs=True)

    PostmanCollectionOperator(
        task_id="collection",
        collection="orders_collection.json",
        conn_ids={"orders": "orders"},
        trace=f"file://{os.environ['AIRFLOW_HOME']}/collection-traces",
    )
    PostmanMonitorOperator(
        task_id="monitor",
        monitor_id="m-1",
        postman_conn_id="postman",
        poll_interval=timedelta(seconds=1),
        retries=5,  # as for those that defer: Airflow may take a task for lost whose trigger fires soon
        retry_delay=timedelta(seconds=1),
    )

    @task
    def careless():
        api, db, lake = (BaseHook.get_connection(name) for name in ("orders", "db", "lake"))
        for one in (api, db, lake):
            print(one, repr(one), one.get_uri(), one.extra, one.password, quote(one.password or "", safe=""))
        print(Variable.get("API_TOKEN"))
        try:
            raise RuntimeError(f"a library shows {api.extra} and {db.password}")
        except RuntimeError:
            traceback.print_exc()
        print("DONE")

    careless()
    HttpOperator(task_id="fail", on_failure_callback=tell, **{**orders, "endpoint": "/nowhere"})


clean()
