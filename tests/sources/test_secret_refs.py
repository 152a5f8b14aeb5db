"""Secrets by reference: read where they lie, each time anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.demo.cloud import REGION, SECRET_ID, Cloud
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.secret_refs import (
    LARGEST,
    AwsSecretsManagerReference,
    EnvironmentReference,
    FileReference,
)
from tests.peers.rogue import Rogue, Script, deaf, reply
from tests.peers.sts import REQUEST_ID, refused_in_json
from tests.sources.asking import read, story
from tests.sources.bad_files import CANARY, FAULTS
from tests.sources.conformance import ReferenceConformance
from tests.sources.conftest import API_TOKEN, SECRET_KEY, SESSION


class TestEnvironment(ReferenceConformance):
    @pytest.fixture
    def holds(self) -> str:
        return " pässwörd\n"

    @pytest.fixture
    def reference(self, holds: str, monkeypatch: pytest.MonkeyPatch) -> EnvironmentReference:
        monkeypatch.setenv("A_SECRET", holds)
        return EnvironmentReference(name="A_SECRET")

    @pytest.fixture(params=[None, ""], ids=["unset", "empty"])
    def missing(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EnvironmentReference:
        monkeypatch.delenv("A_SECRET", raising=False)
        if request.param is not None:
            monkeypatch.setenv("A_SECRET", request.param)
        return EnvironmentReference(name="A_SECRET")

    def test_missing_is_named(self, missing: EnvironmentReference) -> None:
        """The error names the variable."""
        with pytest.raises(SourceUnavailable, match="environment variable A_SECRET is not set on this worker"):
            read(missing)


class TestFile(ReferenceConformance):
    @pytest.fixture
    def holds(self) -> str:
        return "pässwörd"

    @pytest.fixture
    def reference(self, holds: str, tmp_path: Path) -> FileReference:
        (tmp_path / "secret").write_text(f"{holds}\n", encoding="utf-8")
        return FileReference(path=str(tmp_path / "secret"))

    @pytest.fixture(params=FAULTS, ids=lambda make: make.__name__)
    def missing(self, request: pytest.FixtureRequest, tmp_path: Path) -> FileReference:
        request.param(tmp_path / "unusable")
        return FileReference(path=str(tmp_path / "unusable"))

    def test_content_is_not_told(self, missing: FileReference) -> None:
        """Nothing of a file that cannot be used is in any error of the chain."""
        with pytest.raises(SourceUnavailable) as caught:
            read(missing)

        assert CANARY not in story(caught.value)

    @pytest.mark.parametrize(("size", "fits"), [(LARGEST, True), (LARGEST + 1, False)])
    def test_largest(self, size: int, fits: bool, tmp_path: Path) -> None:
        """A secret may be as large as a Kubernetes key file needs, and no larger."""
        (tmp_path / "secret").write_text("x" * size)
        reference = FileReference(path=str(tmp_path / "secret"))

        if fits:
            assert len(read(reference)) == size
        else:
            with pytest.raises(SourceUnavailable, match="is larger than"):
                read(reference)


def test_rotation_is_seen(tmp_path: Path) -> None:
    """A reference keeps nothing: a secret that was rotated is the new one at the next read."""
    (tmp_path / "secret").write_text("old")
    reference = FileReference(path=str(tmp_path / "secret"))

    assert read(reference) == "old"
    (tmp_path / "secret").write_text("new")
    assert read(reference) == "new"


# AWS Secrets Manager


def in_cloud(cloud: Cloud, secret_id: str = SECRET_ID, json_key: str | None = None) -> AwsSecretsManagerReference:
    return AwsSecretsManagerReference(
        secret_id=secret_id, json_key=json_key, region=REGION, endpoint_url=cloud.endpoint_url
    )


class TestSecretsManager(ReferenceConformance):
    @pytest.fixture
    def holds(self) -> str:
        return API_TOKEN

    @pytest.fixture
    def reference(self, cloud: Cloud) -> AwsSecretsManagerReference:
        return in_cloud(cloud)

    @pytest.fixture(params=["port", "other"])
    def missing(self, request: pytest.FixtureRequest, cloud: Cloud) -> AwsSecretsManagerReference:
        return in_cloud(cloud, json_key=request.param)


class TestMemberOfSecret(TestSecretsManager):
    @pytest.fixture
    def holds(self) -> str:
        return str(json.loads(API_TOKEN)["consumer_secret"])

    @pytest.fixture
    def reference(self, cloud: Cloud) -> AwsSecretsManagerReference:
        return in_cloud(cloud, json_key="consumer_secret")


def failure(reference: AwsSecretsManagerReference, seconds: float = 10.0) -> MintError:
    with pytest.raises(MintError) as caught:
        read(reference, seconds=seconds)
    assert not [hidden for hidden in (CANARY, SECRET_KEY, SESSION) if hidden in story(caught.value)]
    return caught.value


def test_secret_that_does_not_exist(cloud: Cloud) -> None:
    """The name and region are what to look at."""
    error = failure(in_cloud(cloud, "demo/other"))

    assert (type(error), error.code) == (SourceRefused, "ResourceNotFoundException")
    assert "secretsmanager:GetSecretValue of demo/other" in str(error)
    assert "the secret's name and region" in str(error)


@pytest.mark.usefixtures("nobody")
def test_worker_without_identity() -> None:
    """Without an identity the store is not asked."""
    error = failure(AwsSecretsManagerReference(secret_id="a", region=REGION))

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")


def held(**members: Any) -> Script:
    return reply(json.dumps({"ARN": "arn:aws:secretsmanager:x", "Name": "a", **members}).encode())


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("script", "json_key", "kind", "code"),
    [
        pytest.param(held(SecretBinary="Y2FuYXJ5"), None, SourceUnavailable, "secret_missing", id="binary"),
        pytest.param(held(SecretString=""), None, SourceUnavailable, "secret_missing", id="empty"),
        pytest.param(held(), None, SourceUnavailable, "secret_missing", id="nothing"),
        pytest.param(held(SecretString=CANARY), "key", SourceUnavailable, "secret_missing", id="no JSON"),
        pytest.param(held(SecretString=f'["{CANARY}"]'), "key", SourceUnavailable, "secret_missing", id="list"),
        pytest.param(held(SecretString=f'"{CANARY}"'), "key", SourceUnavailable, "secret_missing", id="text"),
        pytest.param(held(SecretString='{"key": null}'), "key", SourceUnavailable, "secret_missing", id="null"),
        pytest.param(held(SecretString='{"key": ""}'), "key", SourceUnavailable, "secret_missing", id="empty member"),
        pytest.param(held(SecretString="[" * 20_000), "key", SourceUnavailable, "secret_missing", id="deep"),
        pytest.param(held(SecretString={"key": CANARY}), "key", SourceUnavailable, "secret_missing", id="no text"),
        pytest.param(reply(b"[" * 20_000), None, SourceFailed, "bad_answer", id="deep answer"),
        pytest.param(reply(f"<html>{CANARY}</html>".encode()), None, SourceFailed, "bad_answer", id="page"),
        pytest.param(reply(f'"{CANARY}"'.encode()), None, SourceFailed, "bad_answer", id="JSON text"),
        pytest.param(
            reply(f"<html>{CANARY}</html>".encode(), status=502), None, SourceFailed, "HTTP 502", id="gateway's page"
        ),
        pytest.param(
            reply(refused_in_json("DecryptionFailure", CANARY), status=400),
            None,
            SourceRefused,
            "DecryptionFailure",
            id="refused",
        ),
        pytest.param(
            reply(refused_in_json("ThrottlingException", CANARY), status=400),
            None,
            SourceFailed,
            "ThrottlingException",
            id="throttled",
        ),
        pytest.param(
            reply(refused_in_json("InternalServiceError", CANARY), status=500),
            None,
            SourceFailed,
            "InternalServiceError",
            id="500",
        ),
        pytest.param(reply(CANARY.encode() * 10_000), None, SourceFailed, "too_large", id="too large"),
    ],
)
def test_bad_secrets_manager(script: Script, json_key: str | None, kind: type[MintError], code: str) -> None:
    """Whatever the store holds or says instead of a text is told apart, and none of it is told."""
    with Rogue(script) as manager:
        error = failure(
            AwsSecretsManagerReference(secret_id="a", json_key=json_key, region=REGION, endpoint_url=manager.url)
        )

    assert (type(error), error.code) == (kind, code)
    assert "secretsmanager:GetSecretValue of a" in str(error)
    assert manager.connections == 1


@pytest.fixture
def manager() -> Iterator[Rogue]:
    with Rogue(
        reply(refused_in_json("AccessDeniedException", CANARY), status=400, X_Amzn_RequestId=REQUEST_ID)
    ) as manager:
        yield manager


@pytest.mark.usefixtures("worker")
def test_keeps_the_request_id(manager: Rogue) -> None:
    """What AWS support asks for is in the error."""
    error = failure(AwsSecretsManagerReference(secret_id="a", region=REGION, endpoint_url=manager.url))

    assert (type(error), error.code, error.request_id) == (SourceRefused, "AccessDeniedException", REQUEST_ID)
    assert json.loads(manager.requests[0].body) == {"SecretId": "a"}


@pytest.mark.usefixtures("worker")
def test_hangs() -> None:
    """The deadline bounds a store that says nothing."""
    with Rogue(deaf) as manager:
        reference = AwsSecretsManagerReference(secret_id="a", region=REGION, endpoint_url=manager.url)
        assert failure(reference, seconds=0.5).code == "timeout"
