"""What a task does with the docker provider."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.docker.hooks.docker import DockerHook
from airflow.providers.docker.operators.docker import DockerOperator

from tests.shapes.tasks.asking import attempt, lookups, tell

DAEMON = os.environ["DAEMON"]
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/an-image"


def pulled(hook: Any) -> Any:
    return hook.api_client.pull(IMAGE, tag="latest")


hook = DockerHook("registry", base_url=DAEMON)
operator = DockerOperator(task_id="t", image=IMAGE, docker_url=DAEMON, docker_conn_id="registry")
tell(
    hook=attempt(lambda: pulled(hook)),
    operator=attempt(lambda: pulled(operator.hook)),
    by_token=attempt(lambda: pulled(DockerHook("by_token", base_url=DAEMON))),
    reads=lookups("registry", lambda: [pulled(hook), pulled(hook)]),
    wrong=attempt(lambda: pulled(DockerHook("wrong", base_url=DAEMON))),
)
