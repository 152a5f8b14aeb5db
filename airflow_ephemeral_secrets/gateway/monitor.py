"""Postman monitors: started in Postman's cloud, waited for here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ephemeral_secrets.gateway import evidence, postman_api
from airflow_ephemeral_secrets.gateway.answers import Answer
from airflow_ephemeral_secrets.gateway.postman_api import PostmanApiError

LARGEST = 16 << 20
MOST, LONGEST = 50, 200
PASSING = ("throttled", "failing")


class MonitorFailed(AirflowException):
    """
    Say how a run of a monitor ended.

    :param failures: assertions by name, where Postman names them
    """

    def __init__(self, message: str, failures: list[str]) -> None:
        super().__init__(message)
        self.failures = failures


class PostmanMonitorOperator(BaseOperator):
    """
    Run a Postman monitor and wait for its end.

    A monitor proves itself with what Postman's cloud holds: nothing of ours reaches it. Its next run after the start
    is taken for ours.

    :param monitor_id: as its page in Postman shows it
    :param postman_conn_id: the http connection to the Postman API, with the API key in header ``X-API-Key``
    :param deferrable: whether to wait in the triggerer, which reads the connection itself
    :param poll_interval: how often to look
    :param timeout: how long to wait
    :raises MonitorFailed: when the run fails, or has not ended in time
    :raises PostmanApiError: when the Postman API refuses, or gives no answer before the start
    """

    template_fields = ("monitor_id", "postman_conn_id")

    def __init__(
        self,
        *,
        monitor_id: str,
        postman_conn_id: str,
        deferrable: bool = True,
        poll_interval: timedelta = timedelta(seconds=20),
        timeout: timedelta = timedelta(minutes=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.monitor_id = monitor_id
        self.postman_conn_id = postman_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout

    def execute(self, context: Any) -> dict[str, Any]:
        """Start the monitor, wait, and give the counts of the run."""
        place = postman_api.path("monitors", self.monitor_id)
        before = _last_run(postman_api.ask(self.postman_conn_id, "GET", place, LARGEST)).get("startedAt")
        start = postman_api.path("monitors", self.monitor_id, "run", query="?async=true")
        postman_api.ask(self.postman_conn_id, "POST", start, LARGEST)
        self.log.info("monitor %s is started", self.monitor_id)
        until = time.time() + self.timeout.total_seconds()
        pause = self.poll_interval.total_seconds()
        if self.deferrable:
            trigger = PostmanMonitorTrigger(self.monitor_id, self.postman_conn_id, before, pause, until)
            self.defer(trigger=trigger, method_name="execute_complete")
        while time.time() < until:
            time.sleep(pause)  # between two looks, where the task is not deferred
            try:
                run = _last_run(postman_api.ask(self.postman_conn_id, "GET", place, LARGEST))
            except PostmanApiError as error:
                if not _passes(error):
                    raise
                continue
            if told := _ended(run, before):
                return self.execute_complete(context, told)
        return self.execute_complete(context, _late())

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Fail with the names of what failed, or give the counts."""
        if event["status"] != "success":
            failures = list(event["failures"])
            named = f": {'; '.join(failures)}" if failures else ""
            raise MonitorFailed(f"monitor {self.monitor_id}: {event['told']}{named}", failures)
        self.log.info("monitor %s: %s", self.monitor_id, event["told"])
        return {
            name: event[name] for name in ("status", "started_at", "finished_at", "assertions", "failed", "requests")
        }


class PostmanMonitorTrigger(BaseTrigger):
    """
    Wait for the run of a monitor that is not the one before.

    :param before: when that one was started, as Postman tells it
    :param pause: seconds between looks
    :param until: epoch seconds
    """

    def __init__(self, monitor_id: str, postman_conn_id: str, before: str | None, pause: float, until: float) -> None:
        super().__init__()
        self.monitor_id = monitor_id
        self.postman_conn_id = postman_conn_id
        self.before = before
        self.pause = pause
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the metadata database keeps: names and times."""
        names = ("monitor_id", "postman_conn_id", "before", "pause", "until")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the run has ended; the event has counts and names, nothing else."""
        place = postman_api.path("monitors", self.monitor_id)
        while time.time() < self.until:
            await asyncio.sleep(self.pause)
            try:
                run = _last_run(await postman_api.aask(self.postman_conn_id, "GET", place, LARGEST))
            except PostmanApiError as error:
                if not _passes(error):
                    yield TriggerEvent({"status": "refused", "told": str(error), "failures": []})
                    return
                continue
            if told := _ended(run, self.before):
                yield TriggerEvent(told)
                return
        yield TriggerEvent(_late())


def _last_run(content: bytes) -> dict[str, Any]:
    found = postman_api.decoded(content, "monitor").get("lastRun")
    return found if isinstance(found, dict) else {}


def _passes(error: PostmanApiError) -> bool:
    found = evidence.outcome(error, time.time())
    return found.meaning in PASSING if isinstance(found, Answer) else isinstance(found, str)


def _ended(run: Mapping[str, Any], before: str | None) -> dict[str, Any] | None:
    """Tell what became of a run, if it is another than the one before, and has ended."""
    if run.get("startedAt") in (None, before) or not run.get("finishedAt"):
        return None
    stats = run.get("stats")
    assertions, requests = (_counts(stats, name) for name in ("assertions", "requests"))
    status = "success" if run.get("status") == "success" and not assertions["failed"] else "failed"
    return {
        "status": status,
        "started_at": str(run["startedAt"])[:LONGEST],
        "finished_at": str(run["finishedAt"])[:LONGEST],
        "assertions": assertions["total"],
        "failed": assertions["failed"],
        "requests": requests["total"],
        "failures": _failures(run.get("failures")),
        "told": f"{status}, {assertions['failed']} of {assertions['total']} assertions failed",
    }


def _late() -> dict[str, Any]:
    return {"status": "late", "told": "no run has ended in time", "failures": []}


def _counts(stats: Any, name: str) -> dict[str, int]:
    found = stats.get(name) if isinstance(stats, dict) else None
    counts = found if isinstance(found, dict) else {}
    return {key: counts[key] if isinstance(counts.get(key), int) else 0 for key in ("total", "failed")}


def _failures(found: Any) -> list[str]:
    """Name failed assertions; what they compared may be part of an answer, and stays behind."""
    names = []
    for failure in found[:MOST] if isinstance(found, list) else ():
        assertion = failure.get("assertion") if isinstance(failure, dict) else None
        name = assertion.get("name") if isinstance(assertion, dict) else assertion
        if isinstance(name, str):
            names.append(name[:LONGEST])
    return names
