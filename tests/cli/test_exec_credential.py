"""The helper for clients of Kubernetes: what it prints, in which version, and what it refuses."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jwt
import pytest

from airflow_ephemeral_secrets.cli import main
from airflow_ephemeral_secrets.cli.exec_credential import ASKED, V1

CANARY = jwt.encode({"sub": "airflow"}, "the key of nobody in particular, at length")
V1BETA1 = "client.authentication.k8s.io/v1beta1"


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A configuration of two tokens and a login, asked by a plain program."""
    path = tmp_path / "ephemeral.yaml"
    path.write_text(
        """
        version: 1
        secrets: {token: {from: env, name: A_TOKEN}, ending: {from: env, name: AN_ENDING_TOKEN}}
        sources:
          token: {kind: static, token: {secret: token}}
          ending: {kind: static, token: {secret: ending}}
          login: {kind: static, username: a-login, password: {secret: token}}
        connections:
          cluster: {source: token, shape: kubernetes, server: "https://cluster.test", live: true}
          static: {source: ending, shape: kubernetes, server: "https://cluster.test"}
          for_etl: {source: token, shape: kubernetes, server: "https://cluster.test", allow: {dags: ["etl_*"]}}
          login: {source: login, shape: http, host: "https://api.example.com"}
        store: {host: "off"}
        """
    )
    monkeypatch.delenv(ASKED, raising=False)
    monkeypatch.setenv("A_TOKEN", CANARY)
    later = datetime.now(timezone.utc) + timedelta(minutes=15)
    ending = jwt.encode({"exp": int(later.timestamp())}, "the key of nobody in particular, at length")
    monkeypatch.setenv("AN_ENDING_TOKEN", ending)
    return str(path)


def told(arguments: list[str], file: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main.main(["exec-credential", *arguments, "--config", file]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found: dict[str, object] = json.loads(out)
    return found


def test_protocol(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A token and no end where it has none; nothing else is on either stream."""
    assert told(["cluster"], file, capsys) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "status": {"token": CANARY},
    }


def test_caller(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe that is for some Dags is for whoever names one of them, as every fact about a caller is claimed."""
    assert told(["for_etl", "--dag-id=etl_orders"], file, capsys)["kind"] == "ExecCredential"


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_version(file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """It answers in the version that the client asks for."""
    monkeypatch.setenv(ASKED, json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": {}}))
    assert told(["cluster"], file, capsys)["apiVersion"] == version


@pytest.mark.parametrize("asked", ["{}", "no JSON", "[]", '{"apiVersion": "client.authentication.k8s.io/v1alpha1"}'])
def test_unknown_version(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """A version that it does not speak is a wrong use, and gets no token."""
    monkeypatch.setenv(ASKED, asked)
    assert main.main(["exec-credential", "cluster", "--config", file]) == 2
    out, err = capsys.readouterr()
    assert (out, "client.authentication.k8s.io/v1 or" in err) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["login"], "'login' has no token: its source 'login' is of kind static"),
        (["for_etl", "--dag-id=other"], "does not name Dag other"),
        (["for_etl"], "the caller's Dag is unknown here"),
        (["somebody_elses"], "no recipe owns 'somebody_elses'"),
    ],
)
def test_refused(file: str, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    """What has no token, or not for this caller, is one line on stderr and exit code 1."""
    assert main.main(["exec-credential", *arguments, "--config", file]) == 1
    out, err = capsys.readouterr()
    assert (out, reason in err, err.count("\n")) == ("", True, 1)
    assert CANARY not in err
