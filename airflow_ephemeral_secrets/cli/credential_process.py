"""``airflow-ephemeral credential-process CONN_ID``: AWS keys for the ``credential_process`` of an AWS profile."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone

from airflow_ephemeral_secrets.cli import helper
from airflow_ephemeral_secrets.credential import AwsCredential

HELP = "hand AWS keys to the tools of AWS, as the credential_process of a profile"

add_arguments = helper.add_arguments


def run(args: argparse.Namespace) -> int:
    """
    Print the keys as ``credential_process`` of the AWS SDKs and tools reference guide wants them, version 1.

    :raises EphemeralSecretsError: when there are none; the tool shows what then stands on stderr
    """
    credential = helper.lease(args, AwsCredential, "AWS keys").credential
    assert isinstance(credential, AwsCredential)
    told = {
        "Version": 1,
        "AccessKeyId": credential.access_key_id,
        "SecretAccessKey": credential.secret_access_key,
        "SessionToken": credential.session_token,
        "Expiration": None if credential.expires_at is None else _iso(credential.expires_at),
    }
    print(json.dumps({name: value for name, value in told.items() if value is not None}))
    return 0


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
