"""Nothing of the user's own clouds, proxies or Airflow reaches the demo."""

from __future__ import annotations

import os

import pytest

from airflow_ephemeral_secrets.demo import environment

FOREIGN = (
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW_CONN_LAKE",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "HTTP_PROXY",
    "https_proxy",
)


def test_hides_what_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign variables are hidden from this process while the block lasts, and come back after it."""
    for name in FOREIGN:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("TMPDIR", "/somewhere")
    before = dict(os.environ)

    with environment.scrubbed():
        inside = dict(os.environ)

    assert not inside.keys() & set(FOREIGN)
    assert inside["TMPDIR"] == "/somewhere"
    assert dict(os.environ) == before


def test_comes_back_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception restores the environment too."""
    monkeypatch.setenv("AWS_PROFILE", "mine")

    with pytest.raises(KeyboardInterrupt), environment.scrubbed():
        raise KeyboardInterrupt

    assert os.environ["AWS_PROFILE"] == "mine"
