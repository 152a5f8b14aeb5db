"""The configuration of the backend that the demo runs with, as a user would write it."""

from __future__ import annotations

import json
from pathlib import Path

from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, REGION, SECRET_ID

BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"

TEMPLATE = """\
version: 1

secrets:
  orders-api-token: {{from: aws_secrets_manager, secret_id: {secret_id}, region: {region}, endpoint_url: "{cloud}"}}

sources:
  lake-reader:
    kind: aws_assume_role
    role_arn: "arn:aws:iam::{account}:role/airflow-{{dag_id}}"
    region: {region}
    ttl: 15m
    attribution: dag
    endpoint_url: "{cloud}"
  orders:
    kind: static
    token: {{secret: orders-api-token}}

connections:
  lake:       {{source: lake-reader, shape: aws, region: {region}, extra: {{endpoint_url: "{cloud}"}}}}
  orders_api: {{source: orders, shape: http, host: "{api}"}}

audit: {{file: "{audit}"}}
store: {{host: "{store}"}}
"""


def write(home: Path, *, cloud: str, api: str, store: Path) -> Path:
    """
    Write ``ephemeral.yaml`` into the home and return its path.

    :param cloud: the endpoint of the AWS services
    :param api: the base URL of the orders API
    :param store: the folder in RAM where leases are kept
    """
    path = home / "ephemeral.yaml"
    path.write_text(
        TEMPLATE.format(
            account=ACCOUNT,
            region=REGION,
            secret_id=SECRET_ID,
            cloud=cloud,
            api=api,
            audit=audit_file(home),
            store=store,
        )
    )
    return path


def audit_file(home: Path) -> Path:
    """Return where the backend writes its audit trail."""
    return home / "ephemeral-audit.jsonl"


def options(config: Path) -> dict[str, dict[str, str]]:
    """Return the Airflow options that switch the backend on, for workers and for everybody else."""
    kwargs = json.dumps({"config_file": str(config)})
    return {
        "secrets": {"backend": BACKEND, "backend_kwargs": kwargs},
        "workers": {"secrets_backend": BACKEND, "secrets_backend_kwargs": kwargs},
    }
