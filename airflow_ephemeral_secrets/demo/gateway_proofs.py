"""What the gateways, the audit trail and the traces say of the calls of the example Dags."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.demo.gateways import Gateways
from airflow_ephemeral_secrets.demo.metadata import TaskState
from airflow_ephemeral_secrets.demo.proofs import Proof

PER_SUCCESS = 2.5
"""Requests for each success that the example Dags may need at most, though each gateway sends the first away."""
PACED = ("apigee",)
"""Gateways whose callers have a rate limit, so that none is sent away."""


def respected(gateways: Gateways, tasks: Sequence[TaskState]) -> Iterator[Proof]:
    """Ask each gateway whom it let through, and how often it had to say no."""
    for name, gateway in gateways.by_name.items():
        callers = sum(task.dag_id == f"example_{name}" and task.state == "success" for task in tasks)
        answers = gateway.statuses()
        passed, strangers = answers.count(200), answers.count(401)
        limited = len(answers) - passed - strangers
        as_limited = (limited > 0) == (name not in PACED) and len(answers) <= PER_SUCCESS * passed
        held = passed >= callers > 0 and not strangers and as_limited
        evidence = f"{callers} tasks, {passed} calls let through, {limited} sent away for later, {strangers} unknown"
        yield Proof(f"{name.replace('_', ' ')}: every task got through without a fight", held, evidence)


def one_id_joins(gateways: Gateways, audit: Path, traces: Path) -> Proof:
    """Follow the id of each call that a gateway logged to a lookup in the audit trail, and a trace with its lease."""
    logged = [line for gateway in gateways.by_name.values() for line in gateway.log]
    lookups = [event for event in _events(audit) if event["event"] == "lookup"]
    leases = {_correlation(event["caller"]): event.get("lease_id") for event in lookups}
    told = [json.loads(path.read_text()) for path in traces.rglob("*.json")]
    traced = {(trace["correlation_id"], trace["span_id"]): trace["lease_ids"] for trace in told}
    joined = sum(
        leases.get(line.correlation_id, "") in traced.get((line.correlation_id, line.traceparent.split("-")[2]), ())
        for line in logged
    )
    evidence = f"{joined} of {len(logged)} calls in the gateways' logs, {len(traced)} traces"
    return Proof("one id joins Dag run, lease, trace and gateway log", joined == len(logged) > 0, evidence)


def _events(audit: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in audit.read_text().splitlines()] if audit.exists() else []


def _correlation(caller: object) -> str | None:
    return msgspec.convert(caller, Caller).correlation_id
