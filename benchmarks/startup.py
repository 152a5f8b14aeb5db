"""A lookup in a fresh process while another has left the lease in the host store."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.figure import Figure
from benchmarks.lookup import CONFIG

RUNS = 9

LEAVE = """
import sys, time, json
from unittest.mock import patch
from airflow_ephemeral_secrets import EphemeralSecretsBackend
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
minted = AwsCredential(access_key_id="ASIAEXAMPLEEXAMPLE00", secret_access_key="s" * 40, session_token="t" * 1200,
                       expires_at=time.time() + 3600, principal="benchmark")
with patch.object(AwsAssumeRole, "mint", lambda *_: minted):
    assert EphemeralSecretsBackend(config=json.loads(sys.argv[1])).get_connection("lake")
"""
FIND = """
import sys, time, json
start = time.perf_counter()
import airflow.sdk, airflow.sdk.configuration, airflow.sdk.definitions.connection
airflow.sdk.configuration.conf.get("core", "dags_folder")
ready = time.perf_counter()
from airflow_ephemeral_secrets import EphemeralSecretsBackend
backend = EphemeralSecretsBackend(config=json.loads(sys.argv[1]))
built = time.perf_counter()
connection = backend.get_connection("lake")
found = time.perf_counter()
assert connection.login == "ASIAEXAMPLEEXAMPLE00"
sdks = [name for name in ("boto3", "botocore", "azure", "google.auth", "requests", "urllib3") if name in sys.modules]
print(json.dumps({"airflow": ready - start, "backend": built - ready, "lookup": found - built, "sdks": sdks}))
"""


def figures() -> Iterator[Figure]:
    home = tempfile.mkdtemp(prefix="airflow-ephemeral-bench-")
    store = tempfile.mkdtemp(prefix="airflow-ephemeral-bench-", dir="/dev/shm")
    try:
        config = json.dumps({**CONFIG, "store": {"host": store}})
        environment = {**os.environ, "AIRFLOW_HOME": home, "AWS_EC2_METADATA_DISABLED": "true"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _run(LEAVE, config, environment)
        runs = [json.loads(_run(FIND, config, environment)) for _ in range(RUNS)]
    finally:
        shutil.rmtree(home)
        shutil.rmtree(store)
    airflow, backend, lookup = (
        statistics.median(run[part] for run in runs) * 1e3 for part in ("airflow", "backend", "lookup")
    )
    sdks = sorted({name for run in runs for name in run["sdks"]})
    yield Figure(
        "import and construction in a fresh process, against importing airflow.sdk",
        f"{backend / airflow:.3f}x ({backend:.1f} ms on top of {airflow:.0f} ms)",
        "under 25 ms",
        backend < 25,
    )
    yield Figure(
        "first lookup of that process, lease in the host store", f"{lookup:.1f} ms", "no cloud SDK loaded", not sdks
    )


def _run(script: str, config: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, config], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
