"""A proof is worth something only if it can fail."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ephemeral_secrets.demo import proofs
from airflow_ephemeral_secrets.demo.cloud import ROLES, Issued
from airflow_ephemeral_secrets.demo.metadata import Metadata, TaskState

TOKEN = "FQoGZXIvYXdzEBYaD0123456789"
RUN = "scheduled__2026-01-01T00:00:00+00:00"


def task(dag_id: str = "lake_copy", operator: str = "S3ListOperator", state: str | None = "success") -> TaskState:
    return TaskState(dag_id, "a", -1, RUN, 1, operator, state)


def issued(*roles: str) -> list[Issued]:
    return [
        Issued(role, "session", f"ASIA{number}", f"secret-{number}" * 3, TOKEN) for number, role in enumerate(roles)
    ]


def airflow(tasks: list[TaskState], runs: dict[str, str]) -> Any:
    metadata = SimpleNamespace(tasks=lambda: tasks, runs=lambda: runs)
    return SimpleNamespace(metadata=metadata, task_error=lambda *_: "Boom: because")


@pytest.fixture
def home(tmp_path: Path) -> Any:
    """A stopped Airflow that wrote its run id everywhere, and no token."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "task.log").write_text(f"run {RUN}")
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as connection, connection:
        connection.execute("CREATE TABLE connection (password TEXT)")
        connection.execute("CREATE TABLE variable (val TEXT)")
        connection.execute("CREATE TABLE dag_run (run_id TEXT)")
        connection.execute("INSERT INTO dag_run VALUES (?)", (RUN,))
    return SimpleNamespace(home=tmp_path, logs=logs, metadata=Metadata(tmp_path / "airflow.db"))


def write_to_database(home: Any, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(home.metadata.database)) as connection, connection:
        connection.execute(statement, values)


def leaks(home: Any) -> list[bool]:
    return [proof.held for proof in proofs.nothing_leaked(home, {"token": TOKEN}, RUN)]


def test_tasks_all_succeeded() -> None:
    """Tasks and runs that all succeeded are enough."""
    assert proofs.every_task_succeeded(airflow([task()], {"lake_copy": "success"}), ["lake_copy"]).held


@pytest.mark.parametrize(
    ("tasks", "runs"),
    [
        ([], {"lake_copy": "success"}),
        ([task(), task(state="failed")], {"lake_copy": "success"}),
        ([task(state=None)], {"lake_copy": "success"}),
        ([task()], {"lake_copy": "failed"}),
        ([task()], {}),
    ],
    ids=["no tasks", "a failed task", "a task that never ran", "a failed run", "no run"],
)
def test_tasks_did_not_all_succeed(tasks: list[TaskState], runs: dict[str, str]) -> None:
    """Anything less than success everywhere is a failure."""
    assert not proofs.every_task_succeeded(airflow(tasks, runs), ["lake_copy"]).held


def test_names_the_cause_of_a_failed_task() -> None:
    """Whoever reads a failed proof sees why the task failed."""
    assert (
        "lake_copy.a failed: Boom: because"
        in proofs.every_task_succeeded(airflow([task(state="failed")], {}), ["lake_copy"]).evidence
    )


def test_one_mint_for_each_role() -> None:
    """One credential for each role, however many tasks."""
    assert proofs.one_mint_per_dag(issued(*ROLES), len(ROLES), [task()] * 6).held


@pytest.mark.parametrize(
    ("roles", "asked"),
    [
        ((), 0),
        (tuple(ROLES)[:1], 1),
        ((*ROLES, *tuple(ROLES)[:1]), len(ROLES) + 1),
        (tuple(ROLES), len(ROLES) + 1),
    ],
    ids=["none", "a role without", "a role with two", "one refused"],
)
def test_other_numbers_of_mints(roles: tuple[str, ...], asked: int) -> None:
    """Fewer, more or refused mints are a failure."""
    assert not proofs.one_mint_per_dag(issued(*roles), asked, [task()] * 6).held


@pytest.mark.parametrize(
    ("granted", "refused", "tasks", "held"),
    [(2, 0, 2, True), (2, 1, 2, False), (1, 0, 2, False), (3, 0, 2, False), (0, 0, 0, False)],
)
def test_api_served_every_task(granted: int, refused: int, tasks: int, held: bool) -> None:
    """The API must have served as many calls as tasks made, and refused none."""
    api: Any = SimpleNamespace(granted=granted, refused=refused)

    assert proofs.api_served_only_the_token(api, [task(operator="HttpOperator")] * tasks + [task()]).held is held


@pytest.mark.parametrize(
    ("trail", "held"),
    [("ASIA0 ASIA1 ASIA2", True), ("ASIA1 ASIA2", False), (None, False)],
    ids=["all", "some", "no file"],
)
def test_audit_names_every_mint(tmp_path: Path, trail: str | None, held: bool) -> None:
    """The access key id of every issued credential must be in the audit trail."""
    audit = tmp_path / "audit.jsonl"
    if trail:
        audit.write_text(trail)

    assert proofs.audit_names_every_mint(issued(*ROLES), audit).held is held


def test_searches_for_every_credential() -> None:
    """Two credentials of one role are four secrets: none hides behind another."""
    assert len(proofs.minted_secrets(issued("airflow-lake_copy", "airflow-lake_copy"))) == 4


def test_clean_home_is_clean(home: Any) -> None:
    """Without a token anywhere all searches hold."""
    assert leaks(home) == [True, True, True]


def test_token_in_the_database(home: Any) -> None:
    """A token in a cell fails the search of the database, and that of the home, where its file lies."""
    write_to_database(home, "INSERT INTO dag_run VALUES (?)", f"got {TOKEN}")

    assert leaks(home) == [False, True, False]


def test_token_in_a_log(home: Any) -> None:
    """A token in a log fails the search of the logs, and that of the home."""
    (home.logs / "other.log").write_text(f"got {TOKEN}")

    assert leaks(home) == [True, False, False]


def test_token_in_a_stray_file(home: Any) -> None:
    """A token in any other file fails the search of the home."""
    (home.home / "core.123").write_text(f"got {TOKEN}")

    assert leaks(home) == [True, True, False]


def test_blind_search_proves_nothing(home: Any) -> None:
    """If not even the control is found in a place, its search does not hold."""
    (home.logs / "task.log").unlink()

    assert leaks(home) == [True, False, True]


@pytest.mark.parametrize("table", ["connection", "variable"])
def test_rows_that_airflow_encrypts(home: Any, table: str) -> None:
    """A row where the search would be blind is a failure."""
    assert proofs.nothing_stored_encrypted(home).held

    write_to_database(home, f"INSERT INTO {table} VALUES (?)", "gAAAA")

    assert not proofs.nothing_stored_encrypted(home).held


def test_store_holds_only_minted(tmp_path: Path) -> None:
    """What was minted is in the store; a long-lived secret there, or nothing there, is a failure."""
    minted, long_lived = {"minted": TOKEN}, {"long-lived": "worker-secret-access-key"}
    assert not proofs.store_holds_only_minted(tmp_path, minted, long_lived).held

    (tmp_path / "lease").write_text(TOKEN)
    assert proofs.store_holds_only_minted(tmp_path, minted, long_lived).held

    (tmp_path / "other").write_text("worker-secret-access-key")
    assert not proofs.store_holds_only_minted(tmp_path, minted, long_lived).held


@pytest.mark.parametrize(("started", "left", "held"), [(9, 0, True), (9, 1, False), (0, 0, False)])
def test_nothing_left_running(started: int, left: int, held: bool) -> None:
    """Something must have run, and nothing may be left."""
    assert proofs.nothing_left_running(started, left).held is held
