"""Which caller may use which recipe."""

from __future__ import annotations

from typing import get_args

import pytest

from airflow_ephemeral_secrets.caller import Caller, Process
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.policy import AMBIENT_LOGGING, Policy
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.shapes.base import Rule, Shape, VariableShape
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.testing import FakeSource

TASK = Caller(
    process="task", dag_id="hr_sync", task_id="copy", team="hr", run_type="scheduled", owner="airflow, data-platform"
)


def recipe(allow: Rule | None = None, shape: Shape | VariableShape | None = None) -> Recipe:
    shape = shape or Http(source="s", host="api.test", allow=allow)
    return Recipe(pattern="hr_*", source_name="s", source=FakeSource(), shape=shape, references={}, proofs=())


@pytest.mark.parametrize("process", get_args(Process))
@pytest.mark.parametrize("parse_mint", [True, False])
def test_mints_only_where_work_runs(process: Process, parse_mint: bool) -> None:
    """Tasks, triggers, callbacks and scripts get a credential, servers never, Dag parsing where it is allowed."""
    decision = Policy(parse_mint=parse_mint).decide(Caller(process=process), recipe(), "hr_pay")

    assert decision.allowed is (process != "server" and (process != "parse" or parse_mint))


@pytest.mark.parametrize(
    ("caller", "allow", "allowed"),
    [
        (TASK, None, True),
        (TASK, Rule(), True),
        (TASK, Rule(dags=["hr_sync"]), True),
        (TASK, Rule(dags=["x", "hr_*"]), True),
        (TASK, Rule(dags=["h?_[a-z]ync"]), True),
        (TASK, Rule(dags=["hr"]), False),
        (TASK, Rule(dags=["sync"]), False),
        (TASK, Rule(dags=["HR_*"]), False),
        (TASK, Rule(dags=[]), False),
        (TASK, Rule(tasks=["copy"]), True),
        (TASK, Rule(tasks=["hr_sync"]), False),
        (TASK, Rule(teams=["hr"]), True),
        (TASK, Rule(teams=["pay"]), False),
        (TASK, Rule(dags=["hr_*"], tasks=["copy"], teams=["hr"]), True),
        (TASK, Rule(dags=["hr_*"], tasks=["load"]), False),
        (TASK, Rule(dags=["pay_*"], tasks=["copy"]), False),
        (TASK, Rule(tasks=["copy"], teams=["pay"]), False),
        (TASK, Rule(run_types=["scheduled", "backfill"]), True),
        (TASK, Rule(run_types=["sched*"]), True),
        (TASK, Rule(run_types=["manual"]), False),
        (TASK, Rule(owners=["data-*"]), True),
        (TASK, Rule(owners=["airflow"]), True),
        (TASK, Rule(owners=["air", "platform"]), False),
        (TASK, Rule(dags=["hr_*"], run_types=["scheduled"], owners=["hr"]), False),
        (Caller(dag_id="hr_sync"), Rule(run_types=["*"]), False),
        (Caller(dag_id="hr_sync"), Rule(owners=["*"]), False),
        (Caller(), Rule(), True),
        (Caller(), Rule(dags=["*"]), False),
        (Caller(), Rule(tasks=["*"]), False),
        (Caller(), Rule(teams=["*"]), False),
        (Caller(process="callback", dag_id="hr_sync"), Rule(dags=["*"]), True),
        (Caller(process="callback", dag_id="hr_sync"), Rule(dags=["*"], tasks=["*"]), False),
        (Caller(dag_id=""), Rule(dags=["?*"]), False),
    ],
)
def test_allow(caller: Caller, allow: Rule | None, allowed: bool) -> None:
    """A caller may if it matches one pattern of every list given; a fact it lacks matches none, not even ``*``."""
    assert Policy().decide(caller, recipe(allow), "hr_pay").allowed is allowed


@pytest.mark.parametrize("process", get_args(Process))
def test_never_the_connection_of_remote_logging(process: Process) -> None:
    """Airflow keeps the connection of remote logging for ever and exports it, so nobody gets it, but others they do."""
    policy = Policy(parse_mint=True, remote_log_conn_id="logs")

    decision = policy.decide(Caller(process=process), recipe(), "logs")

    assert (decision.allowed, decision.code, decision.hint) == (False, "remote_logging", AMBIENT_LOGGING)
    assert policy.decide(TASK, recipe(), "hr_pay").allowed


@pytest.mark.parametrize(
    ("caller", "allow", "name", "code", "words"),
    [
        (Caller(process="server"), None, "hr_pay", "server", ["only where a task runs"]),
        (Caller(process="parse"), None, "hr_pay", "parse", ["while it is parsed", "parse.mint: true"]),
        (TASK, None, "logs", "remote_logging", ["remote logging", "the worker's own identity"]),
        (TASK, Rule(dags=["x"]), "hr_pay", "not_allowed", ["does not name Dag hr_sync", "under allow.dags of hr_*"]),
        (TASK, Rule(tasks=["x"]), "hr_pay", "not_allowed", ["does not name task copy"]),
        (TASK, Rule(teams=["x"]), "hr_pay", "not_allowed", ["does not name team hr"]),
        (TASK, Rule(run_types=["x"]), "hr_pay", "not_allowed", ["run type scheduled", "under allow.run_types of hr_*"]),
        (TASK, Rule(owners=["x"]), "hr_pay", "not_allowed", ["does not name owner airflow, data-platform"]),
        (Caller(), Rule(dags=["x"]), "hr_pay", "not_allowed", ["names Dags", "the caller's Dag is unknown here"]),
    ],
)
def test_refusals_say_why(caller: Caller, allow: Rule | None, name: str, code: str, words: list[str]) -> None:
    """A refusal names the rule and the fact it turned on, and what would have to change."""
    with pytest.raises(AccessDenied) as caught:
        Policy(remote_log_conn_id="logs").require(caller, recipe(allow), name)

    assert caught.value.code == code
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("process", get_args(Process))
def test_live_connections_are_for_processes_that_last(process: Process) -> None:
    """Who parses Dags gets no place that ends before a task runs, even where it may mint; no server does."""
    live = recipe(shape=Http(source="s", host="api.test", live=True))
    decision = Policy(parse_mint=True).decide(Caller(process=process), live, "hr_pay")

    assert decision.allowed is (process not in ("server", "parse"))
    assert process != "parse" or (decision.code, decision.hint) == ("not_live_here", "asking inside the task")


def test_what_is_granted_passes() -> None:
    """Who may is let pass, and told by which rule."""
    Policy().require(TASK, recipe(Rule(dags=["hr_*"])), "hr_pay")

    assert Policy().decide(TASK, recipe(), "hr_pay").reason == "everyone may"
    assert "allow" in Policy().decide(TASK, recipe(Rule(dags=["hr_*"])), "hr_pay").reason


def test_the_place_is_refused_before_the_caller() -> None:
    """A server is told that it is one, not that some list lacks it: adding it there would change nothing."""
    decision = Policy().decide(Caller(process="server"), recipe(Rule(dags=["x"])), "hr_pay")

    assert decision.code == "server"


def test_variable_of_that_name_is_no_connection() -> None:
    """A variable that happens to be called like the connection of remote logging is not refused for it."""
    variable = recipe(shape=VariableShape(source="s", value="{token}"))

    assert Policy(remote_log_conn_id="logs").decide(TASK, variable, "logs").allowed


@pytest.mark.parametrize(
    ("caller", "demands", "code", "words"),
    [
        (TASK, {"deny_unknown_caller": True, "require_team": True}, None, ""),
        (Caller(), {}, None, ""),
        (Caller(), {"deny_unknown_caller": True}, "unknown_caller", "policy.deny_unknown_caller: false"),
        (Caller(process="callback"), {"deny_unknown_caller": True}, "unknown_caller", "a callback process"),
        (Caller(dag_id="hr_sync"), {"deny_unknown_caller": True}, None, ""),
        (Caller(dag_id="hr_sync"), {"require_team": True}, "no_team", "policy.require_team"),
        (Caller(team="hr"), {"require_team": True}, None, ""),
    ],
)
@pytest.mark.parametrize("allow", [None, Rule(dags=["hr_*"], teams=["hr"])])
def test_what_every_recipe_demands(
    caller: Caller, demands: dict[str, bool], code: str | None, words: str, allow: Rule | None
) -> None:
    """Where the configuration demands a known caller or a team, no recipe is open to others, whatever it allows."""
    decision = Policy(**demands).decide(caller, recipe(allow), "hr_pay")

    if code:
        assert (decision.allowed, decision.code) == (False, code)
        assert words in f"{decision.reason} {decision.hint}"
    else:
        assert decision == Policy().decide(caller, recipe(allow), "hr_pay")
