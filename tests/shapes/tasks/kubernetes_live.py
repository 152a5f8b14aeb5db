"""What a long task does with the cncf.kubernetes provider: each hook is made once, and outlives its tokens."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook, KubernetesHook
from airflow.providers.cncf.kubernetes.operators.job import KubernetesDeleteJobOperator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import TaskDeferred
from kubernetes.client import V1ObjectMeta, V1Pod

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell

LASTS = float(os.environ["LASTS"])


def repeated() -> list[Any]:
    hook = KubernetesHook("cluster")
    end, seen = time.monotonic() + LASTS, set()
    while time.monotonic() < end:
        found = attempt(lambda: hook.get_pod("a-pod", "work").status.phase)
        seen.add(str(found))
        time.sleep(0.5)
    return sorted(seen)


async def arepeated() -> list[Any]:
    hook = AsyncKubernetesHook(conn_id="cluster")
    end, seen = time.monotonic() + LASTS, set()
    while time.monotonic() < end:
        pod = await hook.get_pod("a-pod", "work")
        seen.add(pod.status.phase)
        await asyncio.sleep(0.5)
    return sorted(seen)


async def both() -> list[list[Any]]:
    return list(await asyncio.gather(asyncio.to_thread(repeated), arepeated()))


def deferred() -> Any:
    """Let the pod operator defer, once its pod is there, and its trigger run as in the triggerer."""
    operator = KubernetesPodOperator(task_id="t", kubernetes_conn_id="cluster", deferrable=True)
    operator.pod = V1Pod(metadata=V1ObjectMeta(name="a-pod", namespace="work"))
    try:
        operator.invoke_defer_method()
    except TaskDeferred as leave:
        time.sleep(float(os.environ["LIVES"]))
        return fired(leave.trigger)
    raise AssertionError("it did not defer")


seen: list[Any] = []
asked = lookups("cluster", lambda: seen.extend(asyncio.run(both())))
tell(
    hooks=seen,
    lookups=asked,
    operator=attempt(
        lambda: execute(
            KubernetesDeleteJobOperator(task_id="t", name="a-job", namespace="work", kubernetes_conn_id="cluster")
        )
    ),
    deferred=attempt(deferred),
)
