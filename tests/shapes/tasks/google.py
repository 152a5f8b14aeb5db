"""What a task does with the google provider."""

from __future__ import annotations

import asyncio
import tempfile

from airflow.providers.google.cloud.hooks.gcs import GCSAsyncHook, GCSHook
from airflow.providers.google.cloud.operators.gcs import GCSListObjectsOperator

from tests.shapes.tasks.asking import attempt, execute, lookups, tell


async def token() -> str:
    held = await GCSAsyncHook(gcp_conn_id="lake").get_token()
    return str(await held.get())


def file_for_programs() -> str | None:
    with hook.provide_gcp_credential_file_as_context() as path:
        return None if path is None else str(path)


hook = GCSHook(gcp_conn_id="lake")
tell(
    folder=tempfile.gettempdir(),
    objects=hook.list("a-bucket"),
    project=hook.project_id,
    operator=execute(GCSListObjectsOperator(task_id="t", bucket="a-bucket", gcp_conn_id="lake")),
    reads=lookups("lake", lambda: [hook.list("a-bucket"), hook.list("a-bucket")]),
    impersonated=attempt(lambda: GCSHook(gcp_conn_id="impersonating").list("a-bucket")),
    wrong=attempt(lambda: GCSHook(gcp_conn_id="wrong").list("a-bucket")),
    file_for_programs=file_for_programs(),
    refreshing=attempt(hook._get_access_token),
    asynchronous=attempt(lambda: asyncio.run(token())),
)
