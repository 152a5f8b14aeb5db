"""What Airflow's provider manager learns about us; it is read at every start, so it imports nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Give the static metadata of the provider."""
    return {
        "package-name": "airflow-ephemeral-secrets",
        "name": "Ephemeral Secrets",
        "description": "Secrets backend whose connections are short-lived credentials, minted when a task asks.",
        "secrets-backends": ["airflow_ephemeral_secrets.EphemeralSecretsBackend"],
        "config": {
            "ephemeral_secrets": {
                "description": "What the page of the provider airflow-ephemeral-secrets reads.",
                "options": {
                    "audit_files": {
                        "description": (
                            "Where the API server finds the audit files of the workers: a file, or a directory of "
                            "files whose names hold .jsonl. By default the file that the configuration names."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/var/log/airflow/ephemeral-audit",
                        "default": None,
                    }
                },
            }
        },
        "cli": ["airflow_ephemeral_secrets.cli.commands.get_cli_commands"],
    }
