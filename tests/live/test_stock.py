"""Unmodified hooks, operators, sensors and triggers, at APIs that want signed requests or tokens that may die."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.demo.environment import allowed
from tests.live.gateways import Gateway, Signatures, Tokens

REGION = "eu-west-1"
KEYS = AwsCredential(
    access_key_id="AKIAWORKER", secret_access_key="worker/secret+key", session_token="worker+session=="
)

SCRIPT = """
import asyncio, json, sys
from airflow.providers.http.hooks.http import HttpAsyncHook, HttpHook
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.providers.http.triggers.http import HttpTrigger

conn_id = sys.argv[1]
seen = {}
seen["hook"] = HttpHook(method="GET", http_conn_id=conn_id).run("/a b?q=x y&z=%2F").status_code
seen["operator"] = HttpOperator(
    task_id="call", http_conn_id=conn_id, endpoint="/orders", data=json.dumps({"n": 1}),
    headers={"Content-Type": "application/json"},
).execute({})
seen["sensor"] = HttpSensor(task_id="sense", http_conn_id=conn_id, endpoint="/orders").poke({})

async def use():
    trigger = HttpTrigger(http_conn_id=conn_id, method="POST", endpoint="/orders", data={"n": "1"})
    seen["serialized"] = str(trigger.serialize())
    seen["trigger"] = [event.payload["status"] async for event in trigger.run()]
    hook = HttpAsyncHook(method="GET", http_conn_id=conn_id)
    async with hook.session() as session:
        seen["async"] = [(await session.run("/orders")).status for _ in range(3)]

asyncio.run(use())
print(json.dumps(seen))
"""


def run(conn_id: str, connection: dict[str, Any], home: str) -> dict[str, Any]:
    config = {
        "version": 1,
        "secrets": {"token": {"from": "env", "name": "TOKEN"}},
        "sources": {
            "worker": {"kind": "aws_session", "region": REGION},
            "token": {"kind": "static", "token": {"secret": "token"}},
        },
        "connections": {conn_id: connection},
        "store": {"host": "off"},
    }
    environment = {
        **allowed(),
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config": config}),
        "AWS_ACCESS_KEY_ID": KEYS.access_key_id,
        "AWS_SECRET_ACCESS_KEY": KEYS.secret_access_key,
        "AWS_SESSION_TOKEN": str(KEYS.session_token),
        "AWS_EC2_METADATA_DISABLED": "true",
        "TOKEN": "a-token-of-the-worker",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-c", SCRIPT, conn_id]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("shape", ["http_sigv4", "http"])
def test_stock_classes(shape: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hook, operator, sensor, async hook and trigger all get through, though the environment names a dead proxy."""
    signed = shape == "http_sigv4"
    tokens = Tokens(lambda token: token == "a-token-of-the-worker")
    judge = Signatures({KEYS.access_key_id: KEYS}, f"{REGION}/execute-api") if signed else tokens
    with Gateway(judge) as gateway:
        more = {"source": "worker", "region": REGION} if signed else {"source": "token", "live": True}
        connection = {"shape": shape, "host": f"{gateway.url}/prod", **more}
        seen = run("orders_api", connection, str(tmp_path_factory.mktemp("worker")))

    assert (seen["hook"], seen["sensor"], seen["trigger"], seen["async"]) == (200, True, ["success"], [200] * 3)
    assert json.loads(seen["operator"])["path"] == "/prod/orders"
    assert gateway.refused == []
    assert len(gateway.granted) == 7
    assert not any(secret in seen["serialized"] for secret in (*KEYS.secrets(), "a-token-of-the-worker"))
