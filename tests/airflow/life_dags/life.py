"""
Work that outlives its tokens several times, with one lookup each: in a task, and in the triggerer.

``LIFE`` says which rows of the table run in which Dag, and for how many seconds a task works.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import dag, task
from airflow.sdk.bases.operator import BaseOperator

DAGS, SECONDS = json.loads(os.environ["LIFE"])
PAUSE = 0.1
BUCKET = "a-bucket"


def http(conn_id: str, place: str) -> Callable[[], object]:
    """Keep the session of one lookup, and give what asks once over it."""
    hook = HttpHook(method="GET", http_conn_id=conn_id)
    session = hook.get_conn()

    def ask() -> None:
        answer = session.get(f"{hook.base_url}/{place}/task", timeout=10)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"

    return ask


def http_sensor(conn_id: str, place: str) -> BaseOperator:
    return HttpSensor(
        task_id=f"{conn_id}_trigger",
        http_conn_id=conn_id,
        endpoint=f"/{place}/trigger",
        poke_interval=PAUSE,
        deferrable=True,
    )


def s3(conn_id: str, place: str) -> Callable[[], object]:
    """Keep the client of one lookup."""
    client = S3Hook(aws_conn_id=conn_id).get_conn()
    return lambda: client.head_object(Bucket=BUCKET, Key=f"{place}/task")


def s3_sensor(conn_id: str, place: str) -> BaseOperator:
    return S3KeySensor(
        task_id=f"{conn_id}_trigger",
        aws_conn_id=conn_id,
        bucket_name=BUCKET,
        bucket_key=f"{place}/trigger",
        poke_interval=PAUSE,
        deferrable=True,
    )


WORK = {"http": (http, http_sensor), "http_sigv4": (http, http_sensor), "aws": (s3, s3_sensor)}
"""By the name of a row, which is its conn_id: what looks up once and gives work; what is deferred."""


def living(dag_id: str, rows: list[str]) -> None:
    @dag(dag_id=dag_id, schedule="@once")
    def life() -> None:
        for row in rows:
            look_up, sensor = WORK[row]
            place = f"{dag_id}/{row}"

            @task(task_id=f"{row}_task")
            def work(row=row, place=place, look_up=look_up):
                ask = look_up(row, place)
                ask()
                ends = time.monotonic() + SECONDS
                while time.monotonic() < ends:
                    ask()
                    time.sleep(PAUSE)

            work()
            sensor(row, place)

    life()


for dag_id, rows in DAGS.items():
    living(dag_id, rows)
