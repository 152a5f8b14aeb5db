"""``airflow-ephemeral exec-credential CONN_ID``: a token for clients of Kubernetes, as the ``exec`` of a kubeconfig."""

from __future__ import annotations

import argparse
import json
import os
from datetime import datetime, timezone

import msgspec

from airflow_ephemeral_secrets.cli import helper
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import ConfigError

HELP = "hand a token to kubectl and other clients of Kubernetes, as the exec of a user in a kubeconfig"

ASKED = "KUBERNETES_EXEC_INFO"
V1 = "client.authentication.k8s.io/v1"
VERSIONS = (V1, "client.authentication.k8s.io/v1beta1")

add_arguments = helper.add_arguments


def run(args: argparse.Namespace) -> int:
    """
    Print an ``ExecCredential``: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/.

    :raises EphemeralSecretsError: when there is no token; the client shows what then stands on stderr
    """
    version = _version(os.environ.get(ASKED))
    credential = helper.lease(args, BearerToken, "token").credential
    assert isinstance(credential, BearerToken)
    status = {"token": credential.token}
    if credential.expires_at is not None:
        ends = datetime.fromtimestamp(int(credential.expires_at), timezone.utc)
        status["expirationTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))
    return 0


def _version(asked: str | None) -> str:
    """
    Say in which version to answer: that of the client, which tells it in the environment, else v1.

    :raises ConfigError: when the client wants another
    """
    if asked is None:
        return V1
    try:
        version = msgspec.json.decode(asked, type=dict[str, object]).get("apiVersion")
    except msgspec.MsgspecError:
        version = None
    if version not in VERSIONS:
        raise ConfigError(ASKED, [f"apiVersion: expected {' or '.join(VERSIONS)}"])
    return str(version)
