"""What works: connections, variables and templates, and everything a careless task could print."""

from __future__ import annotations

import base64
from datetime import timedelta
from urllib.parse import quote

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseHook, Variable, dag, task


@dag(schedule="@once")
def granted():
    @task
    def careless():
        api, keys = BaseHook.get_connection("api"), BaseHook.get_connection("keys")
        token = api.extra_dejson["Authorization"].removeprefix("Bearer ")
        basic = base64.b64encode(f"{keys.login}:{keys.password}".encode()).decode()
        print("extra", api.extra, keys.extra)
        print("uri", api.get_uri(), keys.get_uri())
        print("token", token, "quoted", quote(token), quote(token, safe=""))
        print("Authorization: Basic", basic)
        print("password", keys.password, quote(keys.password, safe=""))
        print("variable", Variable.get("API_TOKEN"))
        print("DONE")

    careless()
    BashOperator(task_id="template", bash_command="echo '{{ conn.api.host }} {{ var.value.API_TOKEN }}'; echo DONE")
    HttpOperator(task_id="call", http_conn_id="api", endpoint="/orders", method="GET")
    HttpOperator(
        task_id="call_deferred",
        http_conn_id="api",
        endpoint="/orders",
        method="GET",
        deferrable=True,
        # a trigger this quick may fire before the scheduler has noted that its task is deferred, and it takes the task
        # for lost
        retries=5,
        retry_delay=timedelta(seconds=1),
    )


granted()
