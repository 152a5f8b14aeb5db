"""One real Airflow for all tests here: it runs the Dags of this folder once, and the tests read what became of them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.api import OrdersApi
from tests.airflow.bad_sts import bad_sts
from tests.airflow.dags.fail_closed import CASES
from tests.airflow.sinks import Listening

DAGS = Path(__file__).parent / "dags"
TOKEN = "canary/token+with=odd&characters/Q7d9Xw2L"
PASSWORD = "canary password/with+odd=characters"
AUDIT = "audit.jsonl"
DECOY = "decoy.example.com"
BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
OWNED = [*(f"case_{case}" for case in CASES), "case_parse", "case_broken", "case_server"]


def config(sts: str, api: str, audit: Path) -> str:
    """A configuration in which every ``case_`` connection fails in its own way."""

    def role(endpoint: str, name: str = "reader") -> dict[str, str]:
        arn = f"arn:aws:iam::111122223333:role/{name}"
        return {"kind": "aws_assume_role", "role_arn": arn, "region": "eu-west-1", "endpoint_url": sts + endpoint}

    def aws(source: str) -> dict[str, object]:
        return {"source": source, "shape": "aws"}

    return json.dumps(
        {
            "version": 1,
            "secrets": {
                "token": {"from": "env", "name": "API_TOKEN_OF_THE_WORKER"},
                "password": {"from": "env", "name": "PASSWORD_OF_THE_WORKER"},
                "absent": {"from": "file", "path": "/nonexistent/secret"},
            },
            "sources": {
                "api": {"kind": "static", "token": {"secret": "token"}},
                "login": {"kind": "static", "username": "reader", "password": {"secret": "password"}},
                "absent": {"kind": "static", "token": {"secret": "absent"}},
                "refused": role("/refused"),
                "timed-out": role("/timed_out"),
                "garbage": role("/garbage"),
                "packageless": role("/refused", "packageless"),
                "of-a-team": role("/refused", "reader-{team}"),
            },
            "connections": {
                "api": {"source": "api", "shape": "http", "host": api},
                "who_*": {"source": "api", "shape": "http", "host": api},
                "keys": {
                    "source": "login",
                    "shape": "fields",
                    "conn_type": "generic",
                    "login": "{username}",
                    "password": "{password}",
                },
                "case_policy": {
                    "source": "api",
                    "shape": "http",
                    "host": api,
                    "allow": {"dags": ["some_other_dag"]},
                },
                "case_refused": aws("refused"),
                "case_timed_out": aws("timed-out"),
                "case_garbage": aws("garbage"),
                "case_missing_package": aws("packageless"),
                "case_missing_secret": {"source": "absent", "shape": "http", "host": api},
                "case_unfilled": aws("of-a-team"),
                "case_parse": {"source": "api", "shape": "http", "host": api},
                "case_broken": {"source": "api", "shape": "http", "host": api},
                "case_server": {"source": "api", "shape": "http", "host": api},
            },
            "variables": {"API_TOKEN": {"source": "api", "value": "{token}"}},
            "network": {"deadline": "3s"},
            "audit": {"file": str(audit)},
        }
    )


class Run(NamedTuple):
    """
    An Airflow in which all Dags have run, and what was seen while its configuration was still good.

    :param import_errors: of the Dag files
    :param counted: what StatsD heard
    :param server: what ``airflow connections get`` said, which speaks as the API server does
    """

    airflow: Airflow
    import_errors: list[str]
    counted: list[bytes]
    server: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Run all Dags: first with a good configuration, then with a broken one."""
    with ExitStack() as stack:
        sts = stack.enter_context(bad_sts())
        api = stack.enter_context(OrdersApi(TOKEN))
        decoy = json.dumps({"conn_type": "http", "host": DECOY})
        environment = {
            "API_TOKEN_OF_THE_WORKER": TOKEN,
            "PASSWORD_OF_THE_WORKER": PASSWORD,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "canary-secret-access-key-of-the-worker",
            "AWS_EC2_METADATA_DISABLED": "true",
            **{f"AIRFLOW_CONN_{conn_id.upper()}": decoy for conn_id in [*OWNED, "not_ours"]},
        }
        listening = stack.enter_context(Listening())
        options = {"metrics": listening.options["metrics"]}
        real = stack.enter_context(
            Airflow([DAGS], environment=environment, options=options, triggerer=True, parallelism=4)
        )
        path = real.home / "ephemeral.yaml"
        path.write_text(config(sts, api.url, real.home / AUDIT))
        kwargs = json.dumps({"config_file": path.name})
        real.start({"secrets": {"backend": BACKEND, "backend_kwargs": kwargs}})
        _import_decoys(real)
        real.wait(["fail_closed", "granted", "contexts"], timeout=150, parsed=False)
        _await_callback(real)
        import_errors = real.metadata.import_errors()
        server = real.run("connections", "get", "case_server", "--output", "json")
        path.write_text(path.read_text().replace('"version": 1', '"version": 1, "conections": {}'))
        real.run("dags", "trigger", "broken_config")
        real.wait(["broken_config"], timeout=60, parsed=False)
        yield Run(real, import_errors, listening.packets, server)


@pytest.fixture(scope="session")
def airflow(run: Run) -> Airflow:
    """The Airflow of that run."""
    return run.airflow


def _await_callback(real: Airflow) -> None:
    """Wait for the Dag processor, which runs the callbacks of a Dag when it comes to it."""
    for _ in range(300):
        if b"who_dag_callback" in (real.home / AUDIT).read_bytes():
            return
        time.sleep(0.2)


def _import_decoys(real: Airflow) -> None:
    """Put a connection of each owned name into the metadata database."""
    file = real.home / "decoys.json"
    file.write_text(json.dumps({conn_id: {"conn_type": "http", "host": DECOY} for conn_id in OWNED}))
    done = real.run("connections", "import", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert real.metadata.size("connection") == len(OWNED)
