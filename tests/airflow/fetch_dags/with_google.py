"""Work that outlives its tokens several times, in a task and in the triggerer: objects of storage."""

from __future__ import annotations

from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.sensors.gcs import GCSObjectExistenceSensor
from airflow.sdk import dag, task

from tests.airflow.fetching import again_and_again


@dag(schedule="@once")
def google() -> None:
    @task
    def google_task():
        hook = GCSHook("lake")
        again_and_again(lambda: hook.exists("a-bucket", "task"))

    google_task()
    GCSObjectExistenceSensor(
        task_id="google_trigger",
        google_cloud_conn_id="lake",
        bucket="a-bucket",
        object="trigger",
        poke_interval=0.3,
        deferrable=True,
    )


google()
