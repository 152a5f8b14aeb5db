"""Calls in a gateway's log, matched with the audit."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from airflow_ephemeral_secrets import provenance
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.gatewaylog import Entry
from airflow_ephemeral_secrets.provenance import Provenance, matched, name, row
from airflow_ephemeral_secrets.timeline import Line, Who

NOON = 1_800_014_400.0
ARN = "arn:aws:sts::111122223333:assumed-role/airflow-orders/orders"


def line(task: str = "list", lease: str = "aaaa", *, at: float = NOON, event: str = "lookup", **more: Any) -> Line:
    who = Who(process="task", dag_id="orders", task_id=task, run_id="run-1", try_number=1, map_index=-1)
    facts = {"outcome": "grant", "conn_id": f"{task}_api", "principal": ARN, "caller": who, **more}
    times = {"time": moment(at), "expires_at": moment(at + 900)}
    return Line(event=event, lease_id=lease, **{**times, **facts})


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)


def correlation(task: str) -> str:
    found = Caller(dag_id="orders", task_id=task, run_id="run-1", try_number=1, map_index=-1).correlation_id
    assert found
    return found


def call(at: float = NOON + 10, **more: Any) -> Entry:
    return Entry(gateway="gateway", time=at, method="GET", path="/orders", status=200, **more)


MADE = [
    line("list", "aaaa", access_key_id="ASIA1"),
    line("count", "bbbb", access_key_id="ASIA2", principal="shared"),
    line("sum", "bbbb", access_key_id="ASIA2", principal="shared"),
    line("-", "cccc", event="mint", access_key_id="ASIA3", principal="unused"),
]


@pytest.mark.parametrize(
    ("entry", "how", "tasks"),
    [
        (call(ids=(correlation("list"),)), "correlation", ["list"]),
        (call(ids=("0" * 32, correlation("sum"))), "correlation", ["sum"]),
        (call(access_key_ids=("ASIA1",)), "access key", ["list"]),
        (call(access_key_ids=("ASIA2",)), "access key", ["count", "sum"]),
        (call(words=frozenset({ARN}), identity=ARN), "principal", ["list"]),
        (call(words=frozenset({"shared"})), "principal", ["count", "sum"]),
        (call(access_key_ids=("ASIA3",)), "nobody", []),
        (call(words=frozenset({"unused"})), "nobody", []),
        (call(NOON - 3600, access_key_ids=("ASIA1",)), "nobody", []),
        (call(NOON + 3600, access_key_ids=("ASIA1",), words=frozenset({ARN})), "nobody", []),
        (call(ids=("0" * 32,)), "unknown", []),
        (call(identity="someone", words=frozenset({"someone"})), "other", []),
        (call(access_key_ids=("AKIA9",)), "other", []),
    ],
)
def test_calls_are_matched(entry: Entry, how: str, tasks: list[str]) -> None:
    """By correlation id, else by access key, else by principal, while the credential was held; else by nobody."""
    found = Provenance(MADE).match(entry)
    assert (found.how, [one.who.task_id for one in found.tries]) == (how, tasks)
    assert not found.contradicted


def test_a_contradiction_is_told() -> None:
    """A correlation id of a task that never had the credential is told: somebody borrowed one of both."""
    found = Provenance(MADE).match(call(ids=(correlation("list"),), access_key_ids=("ASIA2",)))
    assert (found.how, found.contradicted) == ("correlation", True)


def test_an_id_that_the_audit_wrote_is_taken() -> None:
    """Where a line has a correlation id, it need not be calculated."""
    found = Provenance([line(correlation_id="f" * 32)]).match(call(ids=("f" * 32,)))
    assert found.how == "correlation"


def test_what_is_told() -> None:
    """A line of the timeline has who, which task, which credential, which call and which answer."""
    entry = call(ids=(correlation("list"),), identity=ARN, request_id="r-1", duration_ms=12.0)
    found = Provenance(MADE).match(entry)
    told = json.loads(msgspec.json.encode(found.told()))
    assert told["time"] == "2027-01-15T12:00:10.000Z"
    assert (told["method"], told["path"], told["status"], told["request_id"]) == ("GET", "/orders", 200, "r-1")
    assert (told["caller"]["dag_id"], told["caller"]["task_id"], told["how"]) == ("orders", "list", "correlation")
    assert (told["conn_ids"], told["lease_ids"], told["candidates"]) == (["list_api"], ["aaaa"], [])
    shared = Provenance(MADE).match(call(access_key_ids=("ASIA2",))).told()
    assert shared["candidates"] == ["orders run-1 count try 1", "orders run-1 sum try 1"]
    assert shared["caller"] is None
    assert row(found)[-1] == "orders run-1 list try 1"


def test_a_table_keeps_to_its_cells() -> None:
    """What a client put into a log cannot steer a terminal."""
    assert row(Provenance([]).match(call(identity="a\x1b[2J\n")))[-1] == "a?[2J?"


def test_many_leases_of_one_try_hide_no_other() -> None:
    """A try that holds many leases of a principal is one candidate, and not the only one; many tries are cut."""
    older, busy = line("count", "older"), [line("list", f"lease-{n}") for n in range(100)]
    told = Provenance([older, *busy]).match(call(identity=ARN, words=frozenset({ARN}))).told()
    assert (told["caller"], told["more"]) == (None, False)
    assert told["candidates"] == ["orders run-1 list try 1", "orders run-1 count try 1"]
    many = [line(f"task-{n}", f"lease-{n}") for n in range(100)]
    told = Provenance(many).match(call(identity=ARN, words=frozenset({ARN}))).told()
    assert (len(told["candidates"]), told["more"]) == (provenance.NAMED, True)


def test_mapped_tasks_are_told_apart() -> None:
    """The index of a mapped task is part of its name."""
    who = Who(dag_id="orders", task_id="list", run_id="run-1", try_number=2, map_index=3)
    assert name(provenance.Try(who, "0" * 32)) == "orders run-1 list [3] try 2"


def test_counts() -> None:
    """Calls of others and malformed lines are counted, and not given."""
    counts: Counter[str] = Counter()
    entries = [None, call(identity="someone"), call(ids=(correlation("list"),)), call()]
    given = [found.how for found in matched(entries, Provenance([*MADE, None]), counts)]
    assert given == ["correlation", "unknown"]
    assert counts == {"malformed": 1, "other": 1, "correlation": 1, "unknown": 1, "contradicted": 0}
    assert Provenance([None]).malformed == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is oldest goes where the audit has too much, and that is counted."""
    monkeypatch.setattr(provenance, "MOST_TRIES", 2)
    monkeypatch.setattr(provenance, "MOST_LEASES", 2)
    made = [line(f"task-{n}", f"lease-{n}", access_key_id=f"ASIA{n}", principal=f"p-{n}") for n in range(4)]
    known = Provenance(made)
    hows = [known.match(call(access_key_ids=(f"ASIA{n}",))).how for n in range(4)]
    assert hows == ["other", "other", "access key", "access key"]
    assert known.match(call(ids=(correlation("task-0"),))).how == "unknown"
    assert known.forgotten == 4
