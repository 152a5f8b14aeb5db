"""Who asks, from every place where the code of a Dag runs: the audit tells what was found out there."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseHook, dag, task


def of_the_dag(context):
    BaseHook.get_connection("who_dag_callback")


def of_the_task(context):
    BaseHook.get_connection("who_task_callback")


@dag(schedule="@once", on_failure_callback=of_the_dag, default_args={"owner": "data-platform"})
def contexts():
    @task
    def mapped(number):
        BaseHook.get_connection("who_task")

    @task(on_failure_callback=of_the_task)
    def fails():
        raise RuntimeError("as it should")

    mapped.expand(number=[7])
    fails()
    BashOperator(task_id="template", bash_command="echo '{{ conn.who_template.host }}'")
    HttpOperator(
        task_id="deferred",
        http_conn_id="who_trigger",
        endpoint="/orders",
        method="GET",
        deferrable=True,
        retries=5,  # as for call_deferred in granted.py
        retry_delay=timedelta(seconds=1),
    )


contexts()
