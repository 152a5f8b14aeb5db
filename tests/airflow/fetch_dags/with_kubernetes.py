"""Work that outlives its tokens several times, in a task and in the triggerer: pods."""

from __future__ import annotations

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import dag, task
from kubernetes.client import V1ObjectMeta, V1Pod

from tests.airflow.fetching import again_and_again


class Waiting(KubernetesPodOperator):
    """The stock operator from where its pod has been started: it defers, and its trigger waits for the pod."""

    def execute(self, context):
        self.pod = V1Pod(metadata=V1ObjectMeta(name="trigger", namespace="work"))
        self.invoke_defer_method()

    def trigger_reentry(self, context, event):
        return event["status"]


@dag(schedule="@once")
def kubernetes() -> None:
    @task
    def kubernetes_task():
        hook = KubernetesHook("cluster")
        again_and_again(lambda: hook.get_pod("task", "work"))

    kubernetes_task()
    Waiting(
        task_id="kubernetes_trigger",
        kubernetes_conn_id="cluster",
        deferrable=True,
        startup_check_interval_seconds=1,
        poll_interval=1,
    )


kubernetes()
