"""A lookup in a process that holds the lease, against Airflow's own backend for environment variables."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from unittest.mock import patch

from benchmarks.figure import Figure, in_turn, microseconds

CONFIG = {
    "version": 1,
    "sources": {
        "lake-reader": {
            "kind": "aws_assume_role",
            "role_arn": "arn:aws:iam::111122223333:role/reader",
            "region": "eu-west-1",
            "ttl": "1h",
        }
    },
    "connections": {"lake": {"source": "lake-reader", "shape": "aws", "region": "eu-west-1"}},
    "store": {"host": "off"},
}


def figures() -> Iterator[Figure]:
    from airflow.sdk.definitions.connection import Connection
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    from airflow_ephemeral_secrets import EphemeralSecretsBackend
    from airflow_ephemeral_secrets.credential import AwsCredential
    from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole

    minted = AwsCredential(
        access_key_id="ASIAEXAMPLEEXAMPLE00",
        secret_access_key="s" * 40,
        session_token="t" * 1_200,
        expires_at=time.time() + 3600,
        principal="arn:aws:sts::111122223333:assumed-role/reader/benchmark",
    )
    ours, theirs = EphemeralSecretsBackend(config=CONFIG), EnvironmentVariablesBackend()
    for backend in (ours, theirs):
        backend._set_connection_class(Connection)
    with patch.object(AwsAssumeRole, "mint", lambda *_: minted):
        value = ours.get_conn_value("lake")
    assert value
    os.environ["AIRFLOW_CONN_LAKE"] = json.dumps({**json.loads(value), "extra": json.loads(json.loads(value)["extra"])})
    assert ours.get_connection("lake").get_uri() == theirs.get_connection("lake").get_uri()

    mine, other, ratio = in_turn(lambda: ours.get_connection("lake"), lambda: theirs.get_connection("lake"))
    yield Figure(
        "owned conn_id, lease in memory, against EnvironmentVariablesBackend with the same Connection",
        f"{ratio:.2f}x ({mine:.0f} µs against {other:.0f} µs)",
        "at most 1.5x",
        ratio <= 1.5,
    )
    unowned = min(microseconds(lambda: ours.get_connection("somebody_elses")) for _ in range(10))
    yield Figure("conn_id that no recipe owns", f"{unowned:.1f} µs", "under 20 µs", unowned < 20)
