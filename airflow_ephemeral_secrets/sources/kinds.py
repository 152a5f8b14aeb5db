"""The kinds of sources and secret references, each loaded when a configuration names it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SOURCES = {
    "aws_assume_role": "airflow_ephemeral_secrets.sources.aws:AwsAssumeRole",
    "aws_session": "airflow_ephemeral_secrets.sources.aws:AwsSession",
    "static": "airflow_ephemeral_secrets.sources.static:Static",
}
REFERENCES = {
    "aws_secrets_manager": "airflow_ephemeral_secrets.sources.secret_refs:AwsSecretsManagerReference",
    "env": "airflow_ephemeral_secrets.sources.secret_refs:EnvironmentReference",
    "file": "airflow_ephemeral_secrets.sources.secret_refs:FileReference",
}


def load(path: str) -> Any:
    """Import ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
