"""What tasks and triggers do with Airbyte for longer than a token lives."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import requests
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

from tests.shapes.tasks.asking import again, attempt, execute, lookups, tell

PAUSE = 0.3


def outlive() -> list[Any]:
    """Use one hook until its tokens have died three times."""
    hook, found = AirbyteHook("lake"), []
    again(lambda: found.append(attempt(lambda: str(hook.get_job_status(1)))))
    return found


async def wait() -> Any:
    """Poll as the triggerer does."""
    trigger = AirbyteSyncTrigger(job_id=7, conn_id="lake", end_time=time.time() + 60, poll_interval=PAUSE)
    return (await anext(trigger.run())).payload


def recover() -> list[Any]:
    """Use a hook after its token was revoked; the client itself asks for another only for the request after."""
    requests.get(f"{os.environ['ISSUER']}/revoke", timeout=10)
    return [attempt(lambda: str(lasting.get_job_status(1))) for _ in range(2)]


lasting = AirbyteHook("lasting")
before = str(lasting.get_job_status(1))
outlived: list[Any] = []
reads = lookups("lake", lambda: outlived.extend(outlive()))
tell(
    reads=reads,
    outlived=outlived,
    event=asyncio.run(wait()),
    operator=attempt(
        lambda: execute(
            AirbyteTriggerSyncOperator(
                task_id="t",
                airbyte_conn_id="lake",
                connection_id="00000000-0000-0000-0000-000000000001",
                wait_seconds=0,
            )
        )
    ),
    dead=attempt(lambda: AirbyteHook("dead").get_job_status(1)),
    before=before,
    recovered=recover(),
)
