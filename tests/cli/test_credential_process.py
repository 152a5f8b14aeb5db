"""The helper for profiles of AWS, run by botocore itself in the way that a program of a task runs it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import CredentialRetrievalError

from airflow_ephemeral_secrets.caller import TOLD, Caller
from airflow_ephemeral_secrets.cli import main, setting
from tests.peers.rogue import Rogue, reply
from tests.peers.sts import KEYS, granted

ROLE = "arn:aws:iam::111122223333:role"
PROGRAM = [sys.executable, "-m", "airflow_ephemeral_secrets.cli.main", "credential-process"]
CANARY = "canary-secret"


@pytest.fixture
def sts() -> Iterator[Rogue]:
    with Rogue(reply(granted())) as server:
        yield server


@pytest.fixture
def file(sts: Rogue, ram: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A configuration, on a worker with an identity and in the environment that Airflow gives to a task."""
    path = tmp_path / "ephemeral.yaml"
    path.write_text(
        f"""
        version: 1
        secrets: {{token: {{from: env, name: A_TOKEN}}}}
        sources:
          lake:
            {{kind: aws_assume_role, role_arn: "{ROLE}/{{dag_id}}", region: eu-west-1, endpoint_url: "{sts.url}"}}
          keys: {{kind: aws_session, region: eu-west-1}}
          api: {{kind: static, token: {{secret: token}}}}
        connections:
          lake: {{source: lake, shape: aws, allow: {{dags: ["etl_*"]}}}}
          keys: {{source: keys, shape: aws}}
          api: {{source: api, shape: http, host: "https://api.example.com"}}
        audit: {{file: "{tmp_path}/audit.jsonl"}}
        store: {{host: "{ram}"}}
        """
    )
    given = {
        "AWS_ACCESS_KEY_ID": "AKIAWORKER",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "A_TOKEN": CANARY,
        "AIRFLOW_CTX_DAG_ID": "etl_orders",
        "AIRFLOW_CTX_TASK_ID": "load",
        "AIRFLOW_CTX_DAG_RUN_ID": "r1",
        "AIRFLOW_CTX_TRY_NUMBER": "2",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return path


def session(command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> botocore.session.Session:
    """Open a session by a profile that runs a command."""
    profiles = folder / "profiles"
    profiles.write_text(f"[profile leased]\ncredential_process = {shlex.join(command)}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return botocore.session.Session(profile="leased")


def test_profile_of_botocore(file: Path, sts: Rogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile gets the keys of the task that started it; however often it asks, one host mints once."""
    command = [*PROGRAM, "lake", "--config", str(file)]
    for _ in range(2):
        found = session(command, file.parent, monkeypatch).get_credentials()
        assert found
        assert tuple(found.get_frozen_credentials())[:3] == tuple(KEYS.values())
    (asked,) = sts.requests
    assert asked.form["RoleArn"] == f"{ROLE}/etl_orders"
    grants = [json.loads(line) for line in (file.parent / "audit.jsonl").read_text().splitlines()]
    assert [line["caller"]["try_number"] for line in grants if line["event"] == "lookup"] == [2, 2]


def test_refusal_reaches_the_tool(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a policy refuses, botocore tells with the reason."""
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "other")
    found = session([*PROGRAM, "lake", "--config", str(file)], file.parent, monkeypatch)
    with pytest.raises(CredentialRetrievalError, match="does not name Dag other"):
        found.get_credentials()


def test_program_of_a_task(file: Path, sts: Rogue) -> None:
    """It finds Airflow's setting by itself, though Airflow keeps the programs of a task from importing it."""
    forbidden = "airflow-db-not-allowed:///"
    environment = {
        **os.environ,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": forbidden,
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN": forbidden,
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config_file": str(file)}),
    }
    done = subprocess.run([*PROGRAM, "lake"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["AccessKeyId"] == KEYS["AccessKeyId"]
    assert sts.requests[0].form["RoleSessionName"] == "etl_orders.r1"


def test_protocol(file: Path, sts: Rogue, capsys: pytest.CaptureFixture[str]) -> None:
    """Version 1 with an expiry in UTC; keys that do not end by themselves have none."""
    assert main.main(["credential-process", "lake", "--config", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {name: told[name] for name in ("Version", *KEYS)} == {"Version": 1, **KEYS}
    assert told["Expiration"].endswith("Z")
    assert main.main(["credential-process", "keys", "--config", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"Version": 1, "AccessKeyId": "AKIAWORKER", "SecretAccessKey": CANARY}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["api"], "'api' has no AWS keys: its source 'api' is of kind static"),
        (["lake", "--dag-id", "other"], "does not name Dag other"),
        (["somebody_elses"], "no recipe owns 'somebody_elses'"),
    ],
)
def test_refused(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """What is no AWS recipe, or not for this caller, is one line on stderr and exit code 1; options go first."""
    assert main.main(["credential-process", *arguments, "--config", str(file)]) == 1
    out, err = capsys.readouterr()
    assert (out, told in err, err.count("\n")) == ("", True, 1)
    assert CANARY not in err


def test_caller_is_the_task_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that a task starts finds that task in its environment; options win, and any other is a script."""
    args = argparse.Namespace(**dict.fromkeys(TOLD))
    assert setting.caller(args) == Caller()
    for name, value in {
        "DAG_ID": "d",
        "TASK_ID": "t",
        "DAG_RUN_ID": "manual__r",
        "TRY_NUMBER": "2",
        "MAP_INDEX": "x",
        "DAG_OWNER": "o",
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    assert setting.caller(args) == Caller(
        process="task", dag_id="d", task_id="t", run_id="manual__r", try_number=2, run_type="manual", owner="o"
    )
    args.team = "lake"
    assert setting.caller(args) == Caller(process="task", team="lake")
