"""What a real Airflow tells of who asks, wherever a Dag's code runs; it is in the audit, and in Airflow's metrics."""

from __future__ import annotations

import re

import pytest

from airflow_ephemeral_secrets import timeline
from airflow_ephemeral_secrets.caller import Caller, stamp_id
from airflow_ephemeral_secrets.telemetry import COUNTERS, GAUGES, PREFIX, TIMERS
from airflow_ephemeral_secrets.timeline import Line, Wanted
from tests.airflow.conftest import AUDIT, Run

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


def asked(run: Run, conn_id: str) -> list[Line]:
    found = timeline.read([str(run.airflow.home / AUDIT)], Wanted(conn_id=conn_id))
    assert found.malformed == 0
    return [line for line in found.lines if line.event == "lookup"]


@pytest.mark.parametrize(
    ("place", "process", "task_id", "map_index", "owner"),
    [
        ("task", "task", "mapped", 0, "data-platform"),
        ("template", "task", "template", -1, "data-platform"),
        ("task_callback", "task", "fails", -1, "data-platform"),
        ("trigger", "trigger", "deferred", -1, None),
    ],
)
def test_caller_is_found(run: Run, place: str, process: str, task_id: str, map_index: int, owner: str | None) -> None:
    """Dag, task, run, its type, try and map index are found in a task, its templates and callbacks, and a trigger."""
    line = next(line for line in asked(run, f"who_{place}") if line.caller.process == process)
    who = line.caller
    assert (line.outcome, who.dag_id, who.task_id) == ("grant", "contexts", task_id)
    assert (who.run_id or "").startswith("scheduled__")
    assert (who.run_type, who.map_index, who.owner) == ("scheduled", map_index, owner)
    assert (who.try_number or 0) >= 1
    caller = Caller(
        dag_id=who.dag_id, run_id=who.run_id, task_id=task_id, try_number=who.try_number, map_index=map_index
    )
    assert line.correlation_id == caller.correlation_id


def test_callback_of_a_dag_is_unknown(run: Run) -> None:
    """Where the Dag processor runs a Dag's callback Airflow tells nothing of whose it is, and nothing is made up."""
    line = asked(run, "who_dag_callback")[0]
    assert line.outcome == "grant"
    assert (line.caller.process, line.caller.dag_id, line.caller.run_id, line.correlation_id) == (
        "callback",
        None,
        None,
        None,
    )


def test_parsing_is_for_no_task(run: Run) -> None:
    """What a Dag file asks for while it is parsed is refused, and the audit names no Dag: the file has told of none."""
    lines = asked(run, "case_parse")
    assert lines
    assert {(line.outcome, line.code, line.caller.process, line.caller.dag_id) for line in lines} == {
        ("deny", "parse", "parse", None)
    }


def test_timeline_of_the_run(run: Run) -> None:
    """All lookups of a run are told in order, with what each cost and which lease answered."""
    (run_id,) = {line.caller.run_id for line in asked(run, "who_task")}
    found = timeline.read([str(run.airflow.home / AUDIT)], Wanted(dag_id="contexts", run_id=run_id))
    assert {line.conn_id for line in found.lines} >= {"who_task", "who_template", "who_task_callback", "who_trigger"}
    assert sorted(found.lines, key=lambda line: line.time) == found.lines
    assert {line.stamp_id for line in found.lines} == {stamp_id({})}


def test_refusals_are_in_the_audit(run: Run) -> None:
    """What policy refused stands in the audit as it stands in the task's log."""
    line = asked(run, "case_policy")[0]
    assert (line.outcome, line.code, line.caller.dag_id) == ("deny", "not_allowed", "fail_closed")
    assert str(line.reason) in run.airflow.task_log("fail_closed", line.caller.task_id or "")


def test_airflow_counts(run: Run) -> None:
    """Airflow's own StatsD client sends our metrics from tasks and triggers, by documented names and no others."""
    packets = b"\n".join(run.counted).decode()
    names = set(re.findall(rf"^airflow\.{PREFIX}\.([\w.]+):", packets, re.MULTILINE))
    assert names >= {"lookup.minted", "lookup.denied", "lookup.failed", "lookup.duration"}
    assert names >= {"mint.granted", "mint.unavailable", "mint.duration", "lease.seconds_to_expiry"}
    assert names <= {*COUNTERS, *TIMERS, *GAUGES}
