"""Airflow secrets backend for ephemeral credentials: each conn_id becomes a short-lived credential when a task asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ephemeral_secrets.backend import EphemeralSecretsBackend

__all__ = ["EphemeralSecretsBackend", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "EphemeralSecretsBackend":
        from airflow_ephemeral_secrets.backend import EphemeralSecretsBackend

        return EphemeralSecretsBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
