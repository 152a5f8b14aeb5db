"""Work that outlives its tokens several times, in a task and in the triggerer: blobs."""

from __future__ import annotations

from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from airflow.providers.microsoft.azure.sensors.wasb import WasbBlobSensor
from airflow.sdk import dag, task

from tests.airflow.fetching import again_and_again


@dag(schedule="@once")
def azure() -> None:
    @task
    def azure_task():
        hook = WasbHook("blobs")
        again_and_again(lambda: hook.check_for_blob("a-container", "task"))

    azure_task()
    WasbBlobSensor(
        task_id="azure_trigger",
        wasb_conn_id="blobs",
        container_name="a-container",
        blob_name="trigger",
        poke_interval=0.3,
        deferrable=True,
    )


azure()
