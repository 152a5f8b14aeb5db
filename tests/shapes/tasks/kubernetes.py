"""What a task does with the cncf.kubernetes provider."""

from __future__ import annotations

import asyncio
import tempfile
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook, KubernetesHook
from airflow.providers.cncf.kubernetes.operators.job import KubernetesDeleteJobOperator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import TaskDeferred
from kubernetes.client import V1ObjectMeta, V1Pod

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell


def phase(conn_id: str) -> Any:
    return KubernetesHook(conn_id).get_pod("a-pod", "work").status.phase


async def aphase(conn_id: str) -> Any:
    return (await AsyncKubernetesHook(conn_id=conn_id).get_pod("a-pod", "work")).status.phase


def deferred() -> Any:
    """Let the pod operator defer, once its pod is there."""
    operator = KubernetesPodOperator(task_id="t", kubernetes_conn_id="cluster", deferrable=True)
    operator.pod = V1Pod(metadata=V1ObjectMeta(name="a-pod", namespace="work"))
    try:
        operator.invoke_defer_method()
    except TaskDeferred as leave:
        return fired(leave.trigger)
    raise AssertionError("it did not defer")


hook = KubernetesHook("cluster")
tell(
    folder=tempfile.gettempdir(),
    phase=phase("cluster"),
    namespace=hook.get_namespace(),
    asynchronous=asyncio.run(aphase("cluster")),
    operator=attempt(
        lambda: execute(
            KubernetesDeleteJobOperator(task_id="t", name="a-job", namespace="work", kubernetes_conn_id="cluster")
        )
    ),
    deferred=attempt(deferred),
    reads=lookups("cluster", lambda: [hook.get_pod("a-pod", "work"), hook.get_pod("a-pod", "work")]),
    wrong=attempt(lambda: phase("wrong")),
    async_wrong=attempt(lambda: asyncio.run(aphase("wrong"))),
    stranger=attempt(lambda: phase("stranger")),
)
