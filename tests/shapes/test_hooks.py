"""What a stock hook makes of a rendered connection: a real Airflow asks our backend, and real servers look at it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, BUCKET, OBJECTS, REGION, Cloud
from airflow_ephemeral_secrets.demo.environment import allowed, scrubbed
from tests.peers.rogue import Request, Rogue, reply

SCRIPT = """
import asyncio
import json
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.triggers.s3 import S3KeyTrigger
from airflow.providers.http.hooks.http import HttpHook
from botocore.exceptions import ClientError

for conn_id in ("bearer", "api_key", "basic", "gateway", "by_fields"):
    HttpHook(method="GET", http_conn_id=conn_id).run(f"/{conn_id}")

seen = {"keys": S3Hook(aws_conn_id="lake").list_keys(BUCKET, prefix="landing/")}
try:
    S3Hook(aws_conn_id="lake").load_string("x", key="reports/x", bucket_name=BUCKET)
except ClientError as error:
    seen["denied"] = error.response["Error"]["Code"]
sts = AwsBaseHook(aws_conn_id="lake", client_type="sts")
seen["identity"] = sts.get_conn().get_caller_identity()["Arn"]
seen["region"] = sts.region_name
seen["worker"] = AwsBaseHook(aws_conn_id="worker", client_type="s3").get_credentials().access_key


async def wait():
    trigger = S3KeyTrigger(bucket_name=BUCKET, bucket_key="landing/orders.json", aws_conn_id="lake", poke_interval=1)
    seen["row"] = str(trigger.serialize())
    async for event in trigger.run():
        return event.payload["status"]


seen["trigger"] = asyncio.run(wait())
print(json.dumps(seen))
""".replace("BUCKET", repr(BUCKET))


def config(api: Rogue, cloud: Cloud) -> dict[str, Any]:
    role = f"arn:aws:iam::{ACCOUNT}:role/airflow-lake_inventory"
    port = {"port": api.port}
    return {
        "version": 1,
        "secrets": {name: {"from": "env", "name": name} for name in ("TOKEN", "KEY", "PASSWORD")},
        "sources": {
            "token": {"kind": "static", "token": {"secret": "TOKEN"}},
            "login": {"kind": "static", "username": "airflow", "password": {"secret": "PASSWORD"}},
            "reader": {
                "kind": "aws_assume_role",
                "role_arn": role,
                "region": REGION,
                "endpoint_url": cloud.endpoint_url,
            },
            "worker": {"kind": "aws_session", "region": REGION},
        },
        "connections": {
            "bearer": {"source": "token", "shape": "http", "host": f"{api.url}/v1"},
            "api_key": {
                "source": "token",
                "shape": "http",
                "host": "127.0.0.1",
                "schema": "http",
                **port,
                "header": "X-Api-Key",
                "prefix": "",
            },
            "basic": {"source": "login", "shape": "http", "host": api.url, "extra": {"timeout": 5}},
            "gateway": {
                "source": "token",
                "shape": "http",
                "host": api.url,
                "headers": {"Ocp-Apim-Subscription-Key": {"secret": "KEY"}, "X-Version": "2"},
            },
            "by_fields": {
                "source": "login",
                "shape": "fields",
                "conn_type": "http",
                "host": "127.0.0.1",
                **port,
                "extra": {"X-Nested": "{username}/{password}"},
            },
            "lake": {
                "source": "reader",
                "shape": "aws",
                "region": REGION,
                "extra": {"endpoint_url": cloud.endpoint_url},
            },
            "worker": {"source": "worker", "shape": "aws"},
        },
        "store": {"host": "off"},
    }


class Seen:
    """What the hooks found, and what they sent to the API."""

    def __init__(self, printed: dict[str, Any], requests: list[Request], worker: str) -> None:
        self.printed = printed
        self.requests = {request.target.rpartition("/")[2]: request for request in requests}
        self.worker = worker


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks once, on a worker whose ``.netrc`` has an entry for the API."""
    home = tmp_path_factory.mktemp("worker")
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login wrong password wrong\n")
    with Rogue(reply(b"{}")) as api, scrubbed(), Cloud("unused") as cloud:
        environment = {
            **allowed(),
            **cloud.worker_environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config": config(api, cloud)}),
            "TOKEN": "a-token",
            "KEY": "a-subscription-key",
            "PASSWORD": "a:pass@word",
            "NETRC": str(netrc),
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, cwd=home
        )
        assert done.returncode == 0, done.stderr
        return Seen(json.loads(done.stdout.splitlines()[-1]), api.requests, environment["AWS_ACCESS_KEY_ID"])


BASIC = f"Basic {base64.b64encode(b'airflow:a:pass@word').decode()}"


@pytest.mark.parametrize(
    ("conn_id", "target", "headers"),
    [
        ("bearer", "/v1/bearer", {"Authorization": "Bearer a-token"}),
        ("api_key", "/api_key", {"X-Api-Key": "a-token", "Authorization": None}),
        ("basic", "/basic", {"Authorization": BASIC, "timeout": None}),
        (
            "gateway",
            "/gateway",
            {"Authorization": "Bearer a-token", "Ocp-Apim-Subscription-Key": "a-subscription-key", "X-Version": "2"},
        ),
        ("by_fields", "/by_fields", {"X-Nested": "airflow/a:pass@word"}),
    ],
)
def test_http_hook(seen: Seen, conn_id: str, target: str, headers: dict[str, str | None]) -> None:
    """The API gets exactly the headers that the file says, whatever the worker's ``.netrc`` holds."""
    request = seen.requests[conn_id]

    assert request.target == target
    assert {name: request.headers[name] for name in headers} == headers


def test_no_header_is_ours(seen: Seen) -> None:
    """Beside what the file says and what requests itself sends, no header leaves the worker."""
    requests_own = {"host", "user-agent", "accept-encoding", "accept", "connection"}
    sent = {name.lower() for name in seen.requests["gateway"].headers}

    assert sent - requests_own == {"authorization", "ocp-apim-subscription-key", "x-version"}


def test_s3_hook(seen: Seen) -> None:
    """An S3 hook reads what the role may read, is denied what it may not write, and acts as the role."""
    assert seen.printed["keys"] == sorted(OBJECTS)
    assert seen.printed["denied"] == "AccessDenied"
    assert ":assumed-role/airflow-lake_inventory/unknown.unknown" in seen.printed["identity"]


def test_s3_trigger(seen: Seen) -> None:
    """A deferred sensor waits on the same connection, asynchronously; its row in the database holds none of it."""
    assert seen.printed["trigger"] == "success"
    assert "lake" in seen.printed["row"]
    assert "token" not in seen.printed["row"].lower()


def test_region_and_identity(seen: Seen) -> None:
    """The connection's region is the hook's, and a frozen worker identity is the worker's own."""
    assert seen.printed["region"] == REGION
    assert seen.printed["worker"] == seen.worker
