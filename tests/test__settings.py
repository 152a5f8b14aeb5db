"""Airflow's settings, read as Airflow reads them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets import _settings

BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
OTHER = "airflow.secrets.local_filesystem.LocalFilesystemBackend"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SECRETS__BACKEND": "x.Y", "SECRETS__BACKEND_KWARGS": '{"a": 1}'}, ("secrets", "x.Y", {"a": 1}, False)),
        (
            {
                "SECRETS__BACKEND": "x.Y",
                "WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
                "WORKERS__SECRETS_BACKEND_KWARGS": "not json",
                "WORKERS__SECRETS_BACKEND_KWARG__CONFIG_FILE": "/a",
            },
            ("workers", "airflow_ephemeral_secrets.EphemeralSecretsBackend", {"config_file": "/a"}, True),
        ),
    ],
)
def test_worker_setting(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[Any, ...] | None
) -> None:
    """The workers' setting wins over the servers'; bad JSON and per-key variables are read as Airflow reads them."""
    for name, value in environment.items():
        monkeypatch.setenv(f"AIRFLOW__{name}", value)
    setting = _settings.worker()
    assert setting == (_settings.Setting(*expected) if expected else None)


@pytest.mark.parametrize(
    ("environment", "who"),
    [
        ({}, "the API server: its environment and the metadata database"),
        ({"AIRFLOW_CONN_LAKE": "aws://"}, "the environment variable AIRFLOW_CONN_LAKE, which is set here"),
        (
            {"AIRFLOW__SECRETS__BACKEND": BACKEND},
            "the API server: its environment and the metadata database",
        ),
        (
            {"AIRFLOW__WORKERS__SECRETS_BACKEND": BACKEND, "AIRFLOW__SECRETS__BACKEND": OTHER},
            f"the API server: its {OTHER} of [secrets], its environment and the metadata database",
        ),
        (
            {"AIRFLOW__SECRETS__BACKEND": OTHER, "AIRFLOW_CONN_LAKE": "aws://"},
            f"{OTHER} of [secrets], then the environment variable AIRFLOW_CONN_LAKE, which is set here",
        ),
    ],
)
def test_next_answer(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], who: str) -> None:
    """Who answers where no recipe owns a name: Airflow's chain on a worker, in its order."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _settings.next_answer("lake") == who


@pytest.mark.parametrize(
    ("path", "near"),
    [
        (BACKEND, True),
        ("airflow_ephemeral_secret.EphemeralSecretsBackend", True),
        ("airflow_ephemeral_secrets.backend.EphemeralSecretBackend", True),
        (OTHER, False),
        ("airflow.providers.hashicorp.secrets.vault.VaultBackend", False),
    ],
)
def test_slip_of_the_pen(path: str, near: bool) -> None:
    """A class path that was meant to be ours is told from another backend's."""
    assert _settings.Setting("secrets", path, {}, False).near is near
