"""The proofs about gateways can fail."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.demo.gateway import Logged
from airflow_ephemeral_secrets.demo.gateway_proofs import one_id_joins, respected
from airflow_ephemeral_secrets.demo.metadata import TaskState

CALLER = {"process": "task", "dag_id": "d", "run_id": "r", "task_id": "t"}
ID, SPAN, LEASE = str(Caller(**CALLER).correlation_id), "0123456789abcdef", "0123456789ab"  # type: ignore[arg-type]  # facts are text


def gateways(name: str, *statuses: int, correlation_id: str = ID) -> Any:
    log = [Logged(1.0, "GET", "/orders", status, "r", correlation_id, f"00-{ID}-{SPAN}-01") for status in statuses]
    return SimpleNamespace(by_name={name: SimpleNamespace(log=log, statuses=lambda: list(statuses))})


def tasks(name: str, *states: str) -> list[TaskState]:
    return [TaskState(f"example_{name}", "fetch", at, "r", 1, "GatewayOperator", one) for at, one in enumerate(states)]


@pytest.mark.parametrize(
    ("name", "statuses", "states", "held"),
    [
        ("okta", (429, 200, 200), ("success", "success"), True),
        ("apigee", (200, 200), ("success", "success"), True),
        ("okta", (200, 200), ("success", "success"), False),
        ("apigee", (429, 200, 200), ("success", "success"), False),
        ("okta", (429, 401, 200, 200), ("success", "success"), False),
        ("okta", (429, 200, 200, 200), ("success", "success"), True),
        ("okta", (429, 200), ("success", "success"), False),
        ("okta", (429, 429, 429, 429, 200, 200), ("success", "success"), False),
        ("okta", (429, 200), ("success", "failed"), True),
        ("okta", (), (), False),
    ],
)
def test_respected(name: str, statuses: tuple[int, ...], states: tuple[str, ...], held: bool) -> None:
    """A call for each task at least, nobody unknown, and the limit met, unless our own kept away from it."""
    (proof,) = respected(gateways(name, *statuses), tasks(name, *states))
    assert proof.held is held


@pytest.mark.parametrize(
    ("lookup", "trace", "held"),
    [
        ({}, {}, True),
        ({"lease_id": "another"}, {}, False),
        ({"caller": {**CALLER, "task_id": "other"}}, {}, False),
        ({}, {"lease_ids": []}, False),
        ({}, {"span_id": "f" * 16}, False),
        ({"event": "mint"}, {}, False),
    ],
)
def test_one_id_joins(tmp_path: Path, lookup: dict[str, Any], trace: dict[str, Any], held: bool) -> None:
    """The audit trail's id, lease and the trace must all belong to the gateway's line."""
    audit = tmp_path / "audit"
    audit.write_text(json.dumps({"event": "lookup", "lease_id": LEASE, "caller": CALLER, **lookup}) + "\n")
    (tmp_path / "traces").mkdir()
    told = {"correlation_id": ID, "span_id": SPAN, "lease_ids": [LEASE], **trace}
    (tmp_path / "traces" / "one.json").write_text(json.dumps(told))
    assert one_id_joins(gateways("okta", 200), audit, tmp_path / "traces").held is held


def test_nothing_to_join(tmp_path: Path) -> None:
    """Without any call nothing is proven."""
    assert not one_id_joins(gateways("okta"), tmp_path / "none", tmp_path).held
