"""The doctor on a set-up where all is well, as a person waits for it."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from benchmarks.figure import Figure

RUNS = 9
BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
COMMAND = [sys.executable, "-m", "airflow_ephemeral_secrets.cli.main", "doctor"]
CONFIG = {
    "version": 1,
    "secrets": {"token": {"from": "env", "name": "API_TOKEN"}},
    "sources": {"api": {"kind": "static", "token": {"secret": "token"}}},
    "connections": {"api": {"source": "api", "shape": "http", "host": "https://api.example.com"}},
}


def figures() -> Iterator[Figure]:
    home = tempfile.mkdtemp(prefix="airflow-ephemeral-bench-")
    store = tempfile.mkdtemp(prefix="airflow-ephemeral-bench-", dir="/dev/shm")
    kwargs = json.dumps({"config": {**CONFIG, "store": {"host": store}}})
    settings = {
        f"AIRFLOW__{section}BACKEND{suffix}": value
        for section in ("SECRETS__", "WORKERS__SECRETS_")
        for suffix, value in (("", BACKEND), ("_KWARGS", kwargs))
    }
    try:
        environment = {**os.environ, **settings, "AIRFLOW_HOME": home, "API_TOKEN": "a-token-of-the-benchmark"}
        took = [_seconds(COMMAND, environment) for _ in range(RUNS)]
        airflow = [_seconds([sys.executable, "-c", "import airflow.settings"], environment) for _ in range(RUNS)]
    finally:
        shutil.rmtree(home)
        shutil.rmtree(store)
    mine, other = statistics.median(took), statistics.median(airflow)
    yield Figure(
        "airflow-ephemeral doctor on a clean set-up, against a process that imports Airflow",
        f"{mine / other:.2f}x ({mine:.1f} s against {other:.1f} s)",
        "silent, under 2 s",
        mine < 2,
    )


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.monotonic()
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return time.monotonic() - start
