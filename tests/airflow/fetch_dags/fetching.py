"""Work that outlives its tokens several times, in tasks and in the triggerer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger
from airflow.providers.apache.kafka.hooks.client import KafkaAdminClientHook
from airflow.providers.apache.kafka.sensors.kafka import AwaitMessageSensor
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.sensors.gcs import GCSObjectExistenceSensor
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from airflow.providers.microsoft.azure.sensors.wasb import WasbBlobSensor
from airflow.providers.snowflake.hooks.sql_api import SnowflakeSqlApiHook
from airflow.providers.snowflake.operators.snowflake import SnowflakeSqlApiOperator
from airflow.sdk import dag, task
from kubernetes.client import V1ObjectMeta, V1Pod

SECONDS = float(os.environ["LIFE"])


class Waiting(KubernetesPodOperator):
    """The stock operator from where its pod has been started: it defers, and its trigger waits for the pod."""

    def execute(self, context):
        self.pod = V1Pod(metadata=V1ObjectMeta(name="trigger", namespace="work"))
        self.invoke_defer_method()

    def trigger_reentry(self, context, event):
        return event["status"]


class Syncing(AirbyteTriggerSyncOperator):
    """The stock operator from where its job has been started; its trigger asks more often than once a minute."""

    def execute(self, context):
        trigger = AirbyteSyncTrigger(job_id=1, conn_id="bytes", end_time=time.time() + 600, poll_interval=0.3)
        self.defer(trigger=trigger, method_name="execute_complete")


def again_and_again(do: Callable[[], object]) -> None:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        do()
        time.sleep(0.3)


@dag(schedule="@once")
def fetching() -> None:
    @task
    def azure_task():
        hook = WasbHook("blobs")
        again_and_again(lambda: hook.check_for_blob("a-container", "task"))

    @task
    def kubernetes_task():
        hook = KubernetesHook("cluster")
        again_and_again(lambda: hook.get_pod("task", "work"))

    @task
    def airbyte_task():
        hook = AirbyteHook("bytes")
        again_and_again(lambda: hook.get_job_status(2))

    @task
    def google_task():
        hook = GCSHook("lake")
        again_and_again(lambda: hook.exists("a-bucket", "task"))

    @task
    def snowflake_task():
        hook = SnowflakeSqlApiHook("warehouse")
        again_and_again(lambda: hook.check_query_output(["task"]))

    def topics(conn_id):
        client = KafkaAdminClientHook(conn_id).get_conn

        def ask():
            client.poll(0)
            assert client.list_topics(timeout=10).topics

        again_and_again(ask)

    @task
    def kafka_task():
        topics("kafka_task")

    @task
    def kafka_called_task():
        topics("kafka_called_task")

    azure_task()
    kubernetes_task()
    airbyte_task()
    google_task()
    snowflake_task()
    kafka_task()
    kafka_called_task()
    for conn_id in ("kafka_trigger", "kafka_called_trigger"):
        AwaitMessageSensor(
            task_id=conn_id,
            kafka_config_id=conn_id,
            topics=["a-topic"],
            apply_function="builtins.bool",
            poll_timeout=0.3,
            poll_interval=0.3,
        )
    WasbBlobSensor(
        task_id="azure_trigger",
        wasb_conn_id="blobs",
        container_name="a-container",
        blob_name="trigger",
        poke_interval=0.3,
        deferrable=True,
    )
    Waiting(
        task_id="kubernetes_trigger",
        kubernetes_conn_id="cluster",
        deferrable=True,
        startup_check_interval_seconds=1,
        poll_interval=1,
    )
    GCSObjectExistenceSensor(
        task_id="google_trigger",
        google_cloud_conn_id="lake",
        bucket="a-bucket",
        object="trigger",
        poke_interval=0.3,
        deferrable=True,
    )
    SnowflakeSqlApiOperator(
        task_id="snowflake_trigger",
        snowflake_conn_id="warehouse",
        sql="SELECT 1",
        statement_count=1,
        poll_interval=0.3,
        deferrable=True,
    )
    Syncing(task_id="airbyte_trigger", connection_id="00000000-0000-0000-0000-000000000001")


fetching()
