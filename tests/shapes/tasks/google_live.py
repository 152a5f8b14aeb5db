"""What tasks and triggers do with Google Cloud for longer than a token lives; its names lead to this machine."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import requests
from airflow.providers.google.cloud.hooks.cloud_sql import CloudSQLHook
from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.hooks.secret_manager import GoogleCloudSecretManagerHook
from airflow.providers.google.cloud.operators.gcs import GCSListObjectsOperator
from airflow.providers.google.cloud.triggers.gcs import GCSBlobTrigger

from tests.shapes.tasks.asking import again, attempt, execute, lookups, tell
from tests.shapes.tasks.names import lead

lead("googleapis.com")
PAUSE = 0.2


def outlive() -> list[Any]:
    """Use hooks until their tokens have died three times: over HTTP, over gRPC, and by discovery, with httplib2."""
    storage, secrets = GCSHook(gcp_conn_id="lake"), GoogleCloudSecretManagerHook(gcp_conn_id="lake")
    discovered = CloudSQLHook(api_version="v1", gcp_conn_id="lake")._authorize()
    found: list[Any] = []

    def use() -> None:
        found.append(attempt(lambda: storage.list("a-bucket")))
        found.append(attempt(lambda: [secrets.access_secret(secret_id="s").name]))
        found.append(attempt(lambda: [json.loads(discovered.request(os.environ["API"])[1])["name"]]))

    again(use)
    return found


async def wait() -> Any:
    """Poll as the triggerer does, until the object is there, which takes longer than a token lives."""
    trigger = GCSBlobTrigger("a-bucket", "late-object", False, PAUSE, "lake", {})
    return (await anext(trigger.run())).payload


async def both() -> tuple[list[Any], Any]:
    return await asyncio.gather(asyncio.to_thread(outlive), wait())


def recover() -> Any:
    """Use a hook before and after its token is revoked."""
    requests.get(f"{os.environ['ISSUER']}/revoke", timeout=10)
    return attempt(lambda: lasting.list("a-bucket"))


lasting = GCSHook(gcp_conn_id="lasting")
before = lasting.list("a-bucket")
outlived: list[Any] = []
reads = lookups("lake", lambda: outlived.extend(asyncio.run(both())))
tell(
    reads=reads,
    outlived=outlived[0],
    event=outlived[1],
    operator=attempt(lambda: execute(GCSListObjectsOperator(task_id="t", bucket="a-bucket", gcp_conn_id="lake"))),
    before=before,
    recovered=recover(),
    files=os.listdir(os.environ["TMPDIR"]),
)
