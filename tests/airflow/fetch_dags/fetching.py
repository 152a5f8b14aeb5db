"""Work with Azure and Kubernetes that outlives its tokens several times, in tasks and in the triggerer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from airflow.providers.microsoft.azure.sensors.wasb import WasbBlobSensor
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

    azure_task()
    kubernetes_task()
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


fetching()
