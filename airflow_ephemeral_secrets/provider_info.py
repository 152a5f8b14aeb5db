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
        "cli": ["airflow_ephemeral_secrets.cli.commands.get_cli_commands"],
    }
