"""Work that outlives its tokens several times, in a task and in the triggerer: jobs."""

from __future__ import annotations

import time

from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger
from airflow.sdk import dag, task

from tests.airflow.fetching import again_and_again


class Syncing(AirbyteTriggerSyncOperator):
    """The stock operator from where its job has been started; its trigger asks more often than once a minute."""

    def execute(self, context):
        trigger = AirbyteSyncTrigger(job_id=1, conn_id="bytes", end_time=time.time() + 600, poll_interval=0.3)
        self.defer(trigger=trigger, method_name="execute_complete")


@dag(schedule="@once")
def airbyte() -> None:
    @task
    def airbyte_task():
        hook = AirbyteHook("bytes")
        again_and_again(lambda: hook.get_job_status(2))

    airbyte_task()
    Syncing(task_id="airbyte_trigger", connection_id="00000000-0000-0000-0000-000000000001")


airbyte()
