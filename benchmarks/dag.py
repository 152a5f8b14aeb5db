"""A real Dag of many short tasks, in a real Airflow, three times: credentials from here, from a vault, from nowhere."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.request import Request, urlopen

from airflow_ephemeral_secrets.demo import cloud, config
from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, REGION, Cloud
from airflow_ephemeral_secrets.demo.environment import scrubbed
from airflow_ephemeral_secrets.demo.settings import Options
from benchmarks.figure import Figure
from benchmarks.host import credential, folder_in_ram

TASKS = 200
PARALLELISM = 3
TIMEOUT = 240.0
CONN_IDS = ("lake", "reports", "archive")
VAULT = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
PREFIX = "airflow/connections"


class Run(NamedTuple):
    """What the tasks of a run took, at the median, and what they asked of the cloud."""

    milliseconds: float
    cpu: float
    memory: float
    calls: int

    def __str__(self) -> str:
        return f"{self.milliseconds:.1f} ms ({self.cpu:.1f} ms CPU, {self.memory:.1f} MB)"


def figures() -> Iterator[Figure]:
    roles = {f"airflow-{conn_id}": cloud.ROLES["airflow-lake_inventory"] for conn_id in CONN_IDS}
    with patch.dict(cloud.ROLES, roles), scrubbed(), Cloud("no API here") as aws:
        ours = _with_us(aws)
        theirs = _with_the_vault(aws)
        floor = _run(aws, {f"AIRFLOW_CONN_{conn_id.upper()}": _connection() for conn_id in CONN_IDS}, {}, "AssumeRole")
    tasks = f"a Dag of {TASKS} tasks with {len(CONN_IDS)} conn_ids each"
    yield Figure(f"{tasks}: mints", f"{ours.calls}", f"{len(CONN_IDS)}", ours.calls == len(CONN_IDS))
    ratio = ours.milliseconds / floor.milliseconds
    yield Figure(
        f"{tasks}: the lookups of a task, against environment variables with the same contents",
        f"{ratio:.2f}x: {ours} against {floor}",
        "under 1.5x",
        ratio < 1.5,
    )
    yield Figure(
        f"{tasks}: the same with SecretsManagerBackend",
        f"{theirs.calls} calls, {theirs}",
        "more calls and time than ours",
        theirs.calls > ours.calls and theirs.milliseconds > ours.milliseconds,
    )


def _with_us(aws: Cloud) -> Run:
    with folder_in_ram() as store:
        document = {
            "version": 1,
            "sources": {
                conn_id: {
                    "kind": "aws_assume_role",
                    "role_arn": f"arn:aws:iam::{ACCOUNT}:role/airflow-{conn_id}",
                    "region": REGION,
                    "ttl": "15m",
                    "attribution": "dag",
                    "endpoint_url": aws.endpoint_url,
                }
                for conn_id in CONN_IDS
            },
            "connections": {
                conn_id: {
                    "source": conn_id,
                    "shape": "aws",
                    "region": REGION,
                    "extra": {"endpoint_url": aws.endpoint_url},
                }
                for conn_id in CONN_IDS
            },
            "store": {"host": str(store)},
        }
        return _run(aws, {}, _backend(config.BACKEND, {"config": document}), "AssumeRole")


def _with_the_vault(aws: Cloud) -> Run:
    _allow(aws, "inf")
    vault = aws.client("secretsmanager", "set-up", "set-up")
    for conn_id in CONN_IDS:
        vault.create_secret(Name=f"{PREFIX}/{conn_id}", SecretString=_connection())
    _allow(aws, "0")
    kwargs = {
        "connections_prefix": PREFIX,
        "variables_prefix": None,
        "config_prefix": None,
        "region_name": REGION,
        "endpoint_url": aws.endpoint_url,
    }
    return _run(aws, {}, _backend(VAULT, kwargs), "GetSecretValue")


def _backend(name: str, kwargs: Mapping[str, Any]) -> Options:
    """Switch a secrets backend on where tasks run and in the scheduler that forks them, as the README says."""
    given = json.dumps(kwargs)
    return {
        "workers": {"secrets_backend": name, "secrets_backend_kwargs": given},
        "secrets": {"backend": name, "backend_kwargs": given},
    }


def _connection() -> str:
    """Give a connection like those that we make, as JSON."""
    minted = credential(0)
    extra = {"region_name": REGION, "aws_session_token": minted.session_token, "endpoint_url": "http://127.0.0.1:1"}
    return json.dumps(
        {"conn_type": "aws", "login": minted.access_key_id, "password": minted.secret_access_key, "extra": extra}
    )


def _run(aws: Cloud, environment: Mapping[str, str], options: Options, operation: str) -> Run:
    """Run the Dag once; what its tasks wrote down, and how often an operation was asked for meanwhile."""
    before = aws.calls[operation]
    with TemporaryDirectory(prefix="airflow-ephemeral-bench-") as folder:
        times = Path(folder, "times")
        given = {"BENCHMARK_TIMES": str(times), "BENCHMARK_TASKS": str(TASKS)}
        with Airflow(
            [Path(__file__).parent / "dags"],
            environment={**aws.worker_environment, **environment, **given},
            options=options,
            parallelism=PARALLELISM,
        ) as airflow:
            airflow.start()
            ended = airflow.wait(["short_tasks"], TIMEOUT)
        lines = [json.loads(line) for line in times.read_text().splitlines()]
    if set(ended.values()) != {"success"} or len(lines) != TASKS:
        sys.exit(f"{len(lines)} of {TASKS} tasks looked up, the Dag run ended with {ended}")
    seconds, cpu, memory = (statistics.median(line[part] for line in lines) for part in ("seconds", "cpu", "memory"))
    return Run(seconds * 1e3, cpu * 1e3, memory, aws.calls[operation] - before)


def _allow(aws: Cloud, calls: str) -> None:
    """Let the cloud serve that many calls to whoever asks before it enforces permissions again."""
    url = f"{aws.endpoint_url}/moto-api/reset-auth"
    with urlopen(Request(url, calls.encode(), {"Content-Type": "text/plain"}), timeout=10):
        pass
