"""The operator: what the stock one gives, and waiting without a worker."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.gateway import GatewayOperator, ResponseChecks, pace
from airflow_ephemeral_secrets.gateway.hook import GatewayRefused
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn
from tests.peers.rogue import Rogue, reply

# the stock operator imports from where Airflow would rather not have it
pytestmark = pytest.mark.filterwarnings("ignore:The `airflow.utils.operator_helpers.determine_kwargs`")

JSON = {"Content_Type": "application/json"}
BUSY = reply(b"{}", status=429, Retry_After="30")
CANARY = "canary-of-a-request"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, ram: Path) -> None:
    """A directory of its own in RAM, and no one else's environment."""
    monkeypatch.setattr(_airflow, "caller", lambda *_: Caller(process="task", dag_id="d", run_id="r", task_id="t"))
    monkeypatch.setattr(pace, "resolvers", tuple)
    monkeypatch.setattr(pace, "places", lambda *_: (str(ram / "leases"),))
    pace._directory.cache_clear()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def connect(url: str) -> None:
        extra = {"Authorization": f"Bearer {CANARY}", "trust_env": False}
        monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps({"conn_type": "http", "host": url, "extra": extra}))

    return connect


def operator(**more: Any) -> GatewayOperator:
    return GatewayOperator(task_id="call", http_conn_id="api", **{"endpoint": "/orders", "method": "GET", **more})


def test_gives_what_the_stock_operator_gives(connect: Any) -> None:
    """Text, or what the Dag's own functions make of the response."""
    with Rogue(reply(b'{"a": 1}', **JSON)) as server:
        connect(server.url)
        assert operator().execute({}) == '{"a": 1}'
        assert operator(response_filter=lambda response: response.json()["a"], checks=ResponseChecks()).execute({}) == 1


def test_pages(connect: Any) -> None:
    """Pages are fetched as by the stock operator, each of them checked."""
    with Rogue(reply(b"[1]", **JSON), reply(b"[2]", **JSON)) as server:
        connect(server.url)
        pages = operator(
            pagination_function=lambda response: {"endpoint": "/more"} if response.json() == [1] else None,
            checks=ResponseChecks(min_items=1),
        ).execute({})
    assert (pages, [request.target for request in server.requests]) == (["[1]", "[2]"], ["/orders", "/more"])


def deferral(task: GatewayOperator, **state: Any) -> tuple[TaskDeferred, float]:
    """Run a task until it defers, and say for how many seconds."""
    with pytest.raises(TaskDeferred) as caught:
        task.resume({}, **state)
    moment = caught.value.trigger.serialize()[1]["moment"]
    return caught.value, (moment - datetime.now(timezone.utc)).total_seconds()


def test_waits_in_the_triggerer(connect: Any) -> None:
    """Sent away with a pause, a deferrable task leaves its worker for at least that long, and then asks again."""
    with Rogue(BUSY, reply(b"[]", **JSON)) as server:
        connect(server.url)
        task = operator(deferrable=True, data={"q": CANARY}, headers={"X-Secret": CANARY})
        deferred, seconds = deferral(task)
        assert 29 < seconds <= 60
        assert getattr(task, deferred.method_name)({}, None, **deferred.kwargs) == "[]"


def test_nothing_of_the_request_is_stored(connect: Any) -> None:
    """What waits in the database is a moment, how long it has waited and how often: no header, body or answer."""
    with Rogue(BUSY) as server:
        connect(server.url)
        task = operator(method="POST", deferrable=True, data=json.dumps({"q": CANARY}), headers={"X-Secret": CANARY})
        deferred, _ = deferral(task)
    path, kwargs = deferred.trigger.serialize()
    assert path == "airflow.providers.standard.triggers.temporal.DateTimeTrigger"
    assert set(kwargs) <= {"moment", "target_time", "end_from_trigger"}
    assert set(deferred.kwargs) == {"waited", "pauses"}
    assert CANARY not in str((path, kwargs, deferred.kwargs))


def test_patience_with_a_gateway_ends(connect: Any) -> None:
    """What was waited already counts: the gateway's own answer is the error in the end."""
    with Rogue(BUSY) as server:
        connect(server.url)
        with pytest.raises(GatewayRefused, match="429"):
            operator(deferrable=True, patience=timedelta(minutes=5)).resume({}, None, waited=280.0, pauses=3)


def test_patience_is_used_up(connect: Any) -> None:
    """A pause or a turn that is within what is left of the patience is waited for, however often that was so before."""
    with Rogue(BUSY, reply(b"[]", **JSON)) as server:
        connect(server.url)
        _, seconds = deferral(operator(deferrable=True, patience=timedelta(seconds=31)), pauses=9)
        assert 29 < seconds <= 31
        operator(rate_limit="6/m").execute({})
        _, seconds = deferral(operator(rate_limit="6/m", deferrable=True), waited=280.0, pauses=9)
        assert 9 < seconds < 13
        with pytest.raises(OutOfTurn, match="no turn within 300 s at 6/m"):
            operator(rate_limit="6/m", deferrable=True).resume({}, None, waited=295.0, pauses=9)


def test_waits_for_its_turn_in_the_triggerer(connect: Any) -> None:
    """A turn that is seconds away is waited for without a worker."""
    with Rogue(reply(b"[]", **JSON)) as server:
        connect(server.url)
        operator(rate_limit="6/m").execute({})
        _, seconds = deferral(operator(rate_limit="6/m", deferrable=True))
        assert 9 < seconds < 21
        with pytest.raises(OutOfTurn):
            operator(rate_limit="6/m", patience=timedelta(seconds=1)).execute({})
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_other_answers_are_not_waited_for(connect: Any, status: int) -> None:
    """Where waiting does not help, a deferrable task fails as any other, and retries decide."""
    with Rogue(reply(b"", status=status)) as server:
        connect(server.url)
        with pytest.raises(GatewayRefused, match=str(status)):
            operator(deferrable=True).execute({})


def test_pages_are_not_forgotten(connect: Any) -> None:
    """A pause between two pages is an error: deferring would forget the pages before it."""
    with Rogue(reply(b"[1]", **JSON), BUSY) as server:
        connect(server.url)
        with pytest.raises(GatewayRefused, match="429"):
            operator(deferrable=True, pagination_function=lambda _: {"endpoint": "/more"}).execute({})


def test_turns_between_pages(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the turn of a further page the worker waits, as long as without deferring."""
    monkeypatch.setattr("airflow_ephemeral_secrets.gateway.operator.BRIEF", timedelta(milliseconds=1))
    with Rogue(reply(b"[1]", **JSON), reply(b"[2]", **JSON)) as server:
        connect(server.url)
        pages = operator(
            deferrable=True,
            rate_limit="10/s",
            pagination_function=lambda response: {"endpoint": "/more"} if response.json() == [1] else None,
        ).execute({})
    assert pages == ["[1]", "[2]"]


def test_trace_is_templated() -> None:
    """The path of traces may name the run."""
    assert "trace" in GatewayOperator.template_fields
    assert {"endpoint", "data", "headers", "http_conn_id"} <= {*GatewayOperator.template_fields}
