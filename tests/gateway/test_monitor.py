"""Monitors: our own Postman API answers as its reference has it, and the trigger runs as the triggerer runs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_ephemeral_secrets.gateway import PostmanMonitorOperator
from airflow_ephemeral_secrets.gateway.monitor import MonitorFailed, PostmanMonitorTrigger
from airflow_ephemeral_secrets.gateway.postman_api import PostmanApiError
from tests.peers.rogue import Rogue, Script, close, reply, response, say

KEY = "canary-api-key-of-postman-8Zk1"
BEFORE, OURS = "2026-11-29T08:00:00.000Z", "2026-11-29T09:00:00.000Z"


def monitor(started: str | None, *, status: str = "success", ended: bool = True, **more: Any) -> Script:
    last = {
        "status": status,
        "startedAt": started,
        "finishedAt": "2026-11-29T09:00:18.000Z" if ended else None,
        "stats": {"assertions": {"total": 8, "failed": 0 if status == "success" else 2}, "requests": {"total": 4}},
        **more,
    }
    content = {"monitor": {"id": "m-1", "name": "smoke", **({"lastRun": last} if started else {})}}
    return reply(json.dumps(content).encode(), Content_Type="application/json")


STARTED = reply(json.dumps({"run": {"info": {"jobId": "j-1", "monitorId": "m-1", "status": "running"}}}).encode())
NAMES = [{"executionId": 1, "assertion": {"name": "has orders"}, "message": "expected secret-body to be 1"}, "junk", {}]


@pytest.fixture(params=["worker", "triggerer"])
def execute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run a monitor: in the worker all along, or deferred, with the trigger as its row makes it."""

    def run(api: Rogue, seconds: float = 5.0) -> dict[str, Any]:
        connection = {"conn_type": "http", "host": api.url, "extra": {"X-API-Key": KEY}}
        monkeypatch.setenv("AIRFLOW_CONN_POSTMAN", json.dumps(connection))
        operator = PostmanMonitorOperator(
            task_id="smoke",
            monitor_id="m-1",
            postman_conn_id="postman",
            deferrable=request.param == "triggerer",
            poll_interval=timedelta(milliseconds=10),
            timeout=timedelta(seconds=seconds),
        )
        try:
            return operator.execute({})
        except TaskDeferred as error:
            deferred = error
        _, row = deferred.trigger.serialize()
        assert KEY not in repr((row, deferred.kwargs))
        event = asyncio.run(_first(PostmanMonitorTrigger(**row)))
        assert KEY not in repr(event)
        method = getattr(operator, deferred.method_name)
        returned: dict[str, Any] = method({}, event)
        return returned

    return run


async def _first(trigger: PostmanMonitorTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def test_a_monitor_is_waited_for(execute: Callable[..., dict[str, Any]]) -> None:
    """It is started once; the run before it and a run that goes on are not taken for its end; the key stays behind."""
    running = monitor(OURS, status="running", ended=False)
    with Rogue(monitor(BEFORE), STARTED, monitor(BEFORE), reply(status=503), running, monitor(OURS)) as api:
        returned = execute(api)
    assert returned["started_at"] == OURS
    assert (returned["assertions"], returned["failed"], returned["requests"]) == (8, 0, 4)
    asked = [(one.method, one.target) for one in api.requests]
    assert asked[:2] == [("GET", "/monitors/m-1"), ("POST", "/monitors/m-1/run?async=true")]
    assert asked[2:] == [("GET", "/monitors/m-1")] * 4
    assert {one.headers["X-API-Key"] for one in api.requests} == {KEY}


def test_lost_connections_are_passed_over(execute: Callable[..., dict[str, Any]]) -> None:
    """A look that gets no answer, or half of one, is followed by the next one."""
    with Rogue(monitor(BEFORE), STARTED, close, say(response(b"half", length=100)), monitor(OURS)) as api:
        assert execute(api)["status"] == "success"


def test_a_monitor_that_never_ran_before(execute: Callable[..., dict[str, Any]]) -> None:
    """The first run of all is ours."""
    with Rogue(monitor(None), STARTED, monitor(None), monitor(OURS)) as api:
        assert execute(api)["status"] == "success"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"failures": NAMES}, "monitor m-1: failed, 2 of 8 assertions failed: has orders"),
        ({}, "monitor m-1: failed, 2 of 8 assertions failed"),
        ({"stats": None}, "monitor m-1: failed, 0 of 0 assertions failed"),
    ],
)
def test_a_run_that_fails_fails_the_task(
    execute: Callable[..., dict[str, Any]], more: dict[str, Any], told: str
) -> None:
    """The names of failed assertions are told where Postman gives them, and not what they compared."""
    run = monitor(OURS, status="failed", **more)
    with Rogue(monitor(BEFORE), STARTED, run) as api, pytest.raises(MonitorFailed) as caught:
        execute(api)
    assert str(caught.value) == told


def test_a_refusal_is_explained(execute: Callable[..., dict[str, Any]]) -> None:
    """A key that is taken back while we wait is an error at once."""
    refused = reply(json.dumps({"error": {"name": "AuthenticationError", "message": KEY}}).encode(), status=401)
    expected = pytest.raises((MonitorFailed, PostmanApiError), match=r"with 401; try: an API key")
    with Rogue(monitor(BEFORE), STARTED, refused) as api, expected as caught:
        execute(api)
    assert KEY not in str(caught.value)


def test_waiting_has_an_end(execute: Callable[..., dict[str, Any]]) -> None:
    """A run that does not come is not waited for longer than the timeout."""
    with Rogue(monitor(BEFORE), STARTED, monitor(BEFORE)) as api:
        with pytest.raises(MonitorFailed, match="no run has ended in time"):
            execute(api, 0.2)
        assert len(api.requests) > 2
