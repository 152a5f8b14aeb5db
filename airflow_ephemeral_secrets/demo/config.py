"""The configuration of the backend that the demo runs with, as a user would write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, REGION, SECRET_ID

GATEWAYS_SECRET_ID = "demo/gateways"  # noqa: S105  # the name of a secret, not one

BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"

TEMPLATE = """\
version: 1

secrets:
  orders-api-token: {{from: aws_secrets_manager, secret_id: {secret_id}, region: {region}, endpoint_url: "{cloud}"}}
  client:
    {{from: aws_secrets_manager, secret_id: {gateways}, json_key: client, region: {region}, endpoint_url: "{cloud}"}}
  subscription-key:
    from: aws_secrets_manager
    secret_id: {gateways}
    json_key: subscription_key
    region: {region}
    endpoint_url: "{cloud}"

sources:
  lake-reader:
    kind: aws_assume_role
    role_arn: "arn:aws:iam::{account}:role/airflow-{{dag_id}}"
    region: {region}
    ttl: 15m
    attribution: dag
    endpoint_url: "{cloud}"
  orders-caller:
    kind: aws_assume_role
    role_arn: "arn:aws:iam::{account}:role/airflow-{{dag_id}}"
    region: {region}
    attribution: dag
    endpoint_url: "{cloud}"
  orders:
    kind: static
    token: {{secret: orders-api-token}}
  apigee-app:
    {{kind: apigee, token_url: "{apigee}/oauth/token", client_id: airflow, client_secret: {{secret: client}}}}
  entra-app:
    {{kind: oauth2, token_url: "{api_management}/token", client_id: airflow, client_secret: {{secret: client}}}}
  okta-app:
    {{kind: oauth2, token_url: "{okta}/token", client_id: airflow, client_secret: {{secret: client}}}}

connections:
  lake:       {{source: lake-reader, shape: aws, region: {region}, extra: {{endpoint_url: "{cloud}"}}}}
  orders_api: {{source: orders, shape: http, host: "{api}"}}
  api_gateway_orders: {{source: orders-caller, shape: http_sigv4, host: "{api_gateway}", region: {region}}}
  apigee_orders: {{source: apigee-app, shape: http, host: "{apigee}"}}
  api_management_orders:
    source: entra-app
    shape: http
    host: "{api_management}"
    headers: {{Ocp-Apim-Subscription-Key: {{secret: subscription-key}}}}
  okta_orders: {{source: okta-app, shape: http, host: "{okta}"}}

audit: {{file: "{audit}"}}
store: {{host: "{store}"}}
"""


def write(home: Path, *, cloud: str, api: str, gateways: Mapping[str, str], store: Path) -> Path:
    """
    Write ``ephemeral.yaml`` into the home and return its path.

    :param cloud: the endpoint of the AWS services
    :param api: the base URL of the orders API
    :param gateways: their base URLs, by the names that the file has for them
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
            gateways=GATEWAYS_SECRET_ID,
            **gateways,
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
