"""A worker that Google knows, and Google as our stubs play it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.reading import Problems, struct
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.google import Google
from tests.peers.google_files import AWS_KEY, AWS_SESSION, READER, USER, WORKER, federation, key_file
from tests.peers.google_stubs import GoogleStub
from tests.sources.asking import ask, failure
from tests.sources.token_kinds import clear

AUDIENCE = "https://reports.example.com"
BIGQUERY = "https://www.googleapis.com/auth/bigquery"
SUBJECT_TOKEN = "canary-of-a-subject-token"
AWS_SOURCE = {
    "environment_id": "aws1",
    "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
    "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token",
    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
}

Write = Callable[[dict[str, Any]], str]


def impersonation_url(email: str = READER) -> str:
    return f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A worker without any identity."""
    clear(monkeypatch, os.environ)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NO_GCE_CHECK", raising=False)
    monkeypatch.delenv("CLOUDSDK_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.fixture
def google(nobody: pytest.MonkeyPatch) -> Iterator[GoogleStub]:
    """Google, and a machine of its own to work on."""
    with GoogleStub() as stub:
        nobody.setenv("GCE_METADATA_HOST", stub.metadata)
        yield stub


@pytest.fixture
def network(google: GoogleStub) -> Network:
    """How Google is reached."""
    return Network(proxy=google.proxy, ca_file=google.ca_file)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a credentials file."""

    def written(info: dict[str, Any]) -> str:
        path = tmp_path / f"credentials-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(info))
        return str(path)

    return written


@pytest.fixture
def files(google: GoogleStub, write: Write, tmp_path: Path, nobody: pytest.MonkeyPatch) -> dict[str, str]:
    """Write a credentials file of each type; each may act as the reader."""
    (tmp_path / "subject-token").write_text(SUBJECT_TOKEN)
    google.subjects[SUBJECT_TOKEN] = "other"
    for who in (WORKER, "user", "other", "aws"):
        google.may(who, READER)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
    for name, value in zip(names, (*AWS_KEY, AWS_SESSION, "eu-west-1"), strict=True):
        nobody.setenv(name, value)
    from_file = {"file": str(tmp_path / "subject-token")}
    user = {"type": "authorized_user", **USER}
    acting = {"service_account_impersonation_url": impersonation_url()}
    infos = {
        "key": key_file(),
        "federation": federation(from_file),
        "acting federation": federation(from_file, **acting),
        "aws": federation(AWS_SOURCE),
        "user": user,
        "acting user": {"type": "impersonated_service_account", "source_credentials": user, "delegates": [], **acting},
    }
    return {name: write(info) for name, info in infos.items()}


def mint(network: Network, **fields: Any) -> BearerToken:
    """Mint with these fields of the configuration."""
    credential = ask(Google(**fields), network=network).credential
    assert isinstance(credential, BearerToken)
    return credential


def denial(network: Network, seconds: float = 10.0, **fields: Any) -> MintError:
    """Mint in vain; give the error."""
    return failure(Google(**fields), network=network, seconds=seconds)


def problems(**fields: Any) -> list[str]:
    """List what the configuration says about such a source."""
    found = Problems()
    source = struct(Google, fields, "source", found)
    return [*found, *(source.problems() if source else [])]
