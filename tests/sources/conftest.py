"""A worker with an identity of its own, a cloud that checks it, and a certificate authority."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import botocore.loaders
import botocore.session
import pytest
import trustme

from airflow_ephemeral_secrets.demo.cloud import Cloud
from airflow_ephemeral_secrets.demo.environment import scrubbed

pytest.register_assert_rewrite("tests.sources.asking", "tests.sources.conformance")

PATIENCE = 10.0
KEY_ID = "AKIAWORKERWORKER"
SECRET_KEY = "worker/secret+key"
SESSION = "worker+session=="
API_TOKEN = '{"consumer_secret": "held-by-secrets-manager", "port": 8443}'


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect with patience: a machine that stands still for two seconds is no server that cannot be reached."""
    monkeypatch.setattr("airflow_ephemeral_secrets.sources.exchange.CONNECT", PATIENCE)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A worker whose AWS identity stands in the environment, and nothing else does."""
    no_identity(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    return monkeypatch


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A worker without an AWS identity."""
    no_identity(monkeypatch)
    return monkeypatch


def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Cloud]:
    """moto with signatures, session tokens and permissions enforced."""
    with ExitStack() as stack:
        with scrubbed():
            cloud = stack.enter_context(Cloud(API_TOKEN))
        yield cloud


@pytest.fixture
def cloud(enforcing: Cloud, nobody: pytest.MonkeyPatch) -> Cloud:
    """The enforcing cloud, and its worker's identity in the environment."""
    for name, value in enforcing.worker_environment.items():
        nobody.setenv(name, value)
    return enforcing


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def secret() -> None:
    """Sources of AWS refer to no secrets."""


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """boto3 reads its models of AWS for each session it opens, which is most of what a test of a mint would take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(botocore.loaders.create_loader))
        yield
