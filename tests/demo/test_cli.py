"""What ``airflow-ephemeral demo`` prints and how it ends."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.cli import demo
from airflow_ephemeral_secrets.demo import story
from airflow_ephemeral_secrets.demo.airflow import AirflowFailed
from airflow_ephemeral_secrets.demo.lookups import Lookups
from airflow_ephemeral_secrets.demo.proofs import Proof
from airflow_ephemeral_secrets.demo.story import Story

RUN = "scheduled__2026-01-01T00:00:00+00:00"


def looked_up(dag_id: str, task_id: str, **answers: int) -> Lookups:
    return Lookups(
        dag_id=dag_id,
        run_id=RUN,
        task_id=task_id,
        conn_id="lake",
        recipe="lake",
        source="lake-reader",
        kind="aws_assume_role",
        principal="arn:aws:sts::123456789012:assumed-role/airflow-lake_copy/lake_copy",
        expires_at="2026-01-01T10:15:00.123Z",
        answers=answers,
    )


def told(*held: bool) -> Story:
    lookups = [looked_up("lake_copy", "list", minted=1, memory=2), looked_up("lake_inventory", "count", host=1)]
    proofs = [Proof(f"claim {number}", one, f"evidence {number}") for number, one in enumerate(held)]
    return Story(Path("/home/of/airflow"), lookups, proofs, 42.4)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the verb with a story that ends as given."""
    monkeypatch.setattr(demo, "distribution", lambda _: None)

    def run(ending: Story | BaseException, *arguments: str) -> int:
        def tell(*_: Any, **__: Any) -> Story:
            if isinstance(ending, BaseException):
                raise ending
            return ending

        monkeypatch.setattr(story, "tell", tell)
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        demo.add_arguments(parser)
        return demo.run(parser.parse_args(arguments))

    return run


def test_all_proofs_held(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Success is 0, a table by Dag run, and a line for each proof."""
    assert run(told(True, True)) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["task", "Dag", "list", "Dag", "count"]
    assert "assumed-role/airflow-lake_copy/lake_copy  2026-01-01 10:15:00  minted, memory x2" in lines[2]
    assert lines[6:] == ["ok      claim 0: evidence 0", "ok      claim 1: evidence 1", "", "all 2 proofs held in 42 s"]


def test_a_proof_failed(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """One failed proof is enough for exit code 1."""
    assert run(told(True, False)) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == ["FAILED  claim 1: evidence 1", "", "1 of 2 proofs FAILED in 42 s"]


def test_json(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, stdout is one document."""
    assert run(told(False), "--json") == 1

    document = json.loads(capsys.readouterr().out)
    assert document["held"] is False
    assert document["lookups"][0]["answers"] == {"minted": 1, "memory": 2}
    assert document["proofs"] == [{"claim": "claim 0", "held": False, "evidence": "evidence 0"}]


def test_keep_says_where(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """--keep prints the home that is left."""
    assert run(told(True), "--keep") == 0
    assert "AIRFLOW_HOME=/home/of/airflow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [(AirflowFailed("the scheduler died"), 1, "the scheduler died"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_no_story_to_tell(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], ending: BaseException, code: int, message: str
) -> None:
    """A failure of Airflow or an interrupt is one message on stderr, not a traceback, and nothing on stdout."""
    assert run(ending) == code

    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_names_what_is_not_installed(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing package is one line that names it and the command that installs it."""

    def distribution(name: str) -> None:
        if name == "moto":
            raise PackageNotFoundError(name)

    monkeypatch.setattr(demo, "distribution", distribution)

    assert run(told(True)) == 2
    assert capsys.readouterr().err == "not installed: moto; try: pip install 'airflow-ephemeral-secrets[demo]'\n"
