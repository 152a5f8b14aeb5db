"""What a task does with the amazon provider while its keys die one after the other."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.triggers.s3 import S3KeyTrigger
from airflow.sdk.log import redact

from tests.shapes.tasks.asking import asked, attempt, tell

LEAST = 5
UNTIL = time.monotonic() + float(os.environ["SECONDS"])


def poke() -> list[bool]:
    """Look for an object, as a sensor does, with one hook."""
    hook = S3Hook(aws_conn_id="lake")
    found = []
    while time.monotonic() < UNTIL or len(found) < LEAST:
        found.append(hook.check_for_key("an-object", "a-bucket"))
        time.sleep(0.1)
    return found


async def wait() -> list[Any]:
    """Wait for an object as a trigger, which finds it at the end."""
    trigger = S3KeyTrigger("a-bucket", "another-object", wildcard_match=False, aws_conn_id="lake", poke_interval=0.1)
    async for event in trigger.run():
        return [event.payload["status"]]
    return []


def shown() -> list[str]:
    """Say what a task's log would show of the keys that a session has."""
    return [redact(text) for text in S3Hook("lake").get_session().get_credentials().get_frozen_credentials()[:3]]


poked: list[Any] = []
sensing = threading.Thread(target=lambda: poked.append(attempt(poke)))
sensing.start()
waited = attempt(lambda: asyncio.run(wait()))
sensing.join()
lookups = asked.count("lake")
identity = AwsBaseHook(aws_conn_id="lake", client_type="sts")
tell(
    poked=poked[0],
    waited=waited,
    lookups=lookups,
    account=attempt(lambda: identity.account_id),
    tested=attempt(identity.test_connection),
    shown=shown(),
    threads=[thread.name for thread in threading.enumerate()],
    other=S3Hook(aws_conn_id="other").get_credentials().access_key,
)
