"""The doctor: silent when all is well; else what is wrong, why it matters and what to change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets._airflow import Setting
from airflow_ephemeral_secrets.cli import checks, main
from airflow_ephemeral_secrets.cli.checks import Finding
from airflow_ephemeral_secrets.clock import SystemClock
from airflow_ephemeral_secrets.config import from_document
from tests.broken import WHOLE

OURS = "airflow_ephemeral_secrets.EphemeralSecretsBackend"


class Provider:
    """A provider that answers anything, with a clock of its own."""

    def __init__(self) -> None:
        self.ahead = 0.0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response_only(404)
                self.send_header("Date", formatdate(provider.now() + provider.ahead, usegmt=True))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @staticmethod
    def now() -> float:
        from airflow_ephemeral_secrets.clock import SystemClock

        return SystemClock().now().wall


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    threading.Thread(target=provider.server.serve_forever, daemon=True).start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def config(provider: Provider, ram: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A configuration in which nothing is wrong."""
    monkeypatch.setenv("A_TOKEN", "canary-secret")
    role = "arn:aws:iam::111122223333:role/reader"
    return {
        "version": 1,
        "secrets": {"token": {"from": "env", "name": "A_TOKEN"}},
        "sources": {
            "api": {"kind": "static", "token": {"secret": "token"}},
            "lake": {"kind": "aws_assume_role", "role_arn": role, "region": "eu-west-1", "endpoint_url": provider.url},
        },
        "connections": {"api": {"source": "api", "shape": "http", "host": "https://api.example.com"}},
        "store": {"host": str(ram)},
    }


def findings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: dict[str, Any], *more: str
) -> tuple[int, list[Finding]]:
    file = tmp_path / "ephemeral.json"
    file.write_text(json.dumps(config))
    code = main.main(["doctor", "--json", "--config", str(file), *more])
    told = capsys.readouterr()
    assert "canary" not in told.out + told.err
    return code, [Finding(**finding) for finding in json.loads(told.out)]


def test_nothing_to_mend(capsys: pytest.CaptureFixture[str], tmp_path: Path, config: dict[str, Any]) -> None:
    """On a clean set-up it finds nothing and exits 0, minting included."""
    assert findings(capsys, tmp_path, config, "--mint") == (0, [])


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"store": {"host": "/proc/self/nowhere"}}, "store", "/proc/self/nowhere"),
        ({"network": {"ca_file": "/nonexistent.pem"}}, "endpoints", "network.ca_file /nonexistent.pem"),
    ],
)
def test_each_fault_is_found(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    config: dict[str, Any],
    change: dict[str, Any],
    check: str,
    words: str,
) -> None:
    """A fault is one finding that names it, and exit code 1."""
    code, found = findings(capsys, tmp_path, {**config, **change})
    assert code == 1
    assert [finding.check for finding in found] == [check]
    assert words in found[0].what
    assert found[0].why
    assert found[0].mend


@pytest.mark.parametrize(("ahead", "words"), [(3600.0, "behind"), (-3600.0, "ahead of")])
def test_clock_skew(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    config: dict[str, Any],
    provider: Provider,
    ahead: float,
    words: str,
) -> None:
    """A provider whose clock differs by over a minute is named."""
    provider.ahead = ahead
    code, (finding,) = findings(capsys, tmp_path, config)
    assert code == 1
    assert words in finding.what


def test_failed_mint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --mint, a recipe that cannot mint here is found."""
    monkeypatch.delenv("A_TOKEN")
    code, (finding,) = findings(capsys, tmp_path, config, "--mint")
    assert code == 1
    assert "api: environment variable A_TOKEN is not set on this worker" in finding.what


def test_recipe_for_certain_callers_is_passed_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --mint, a recipe that only some Dags may use is no fault, since nobody asks for it here."""
    monkeypatch.delenv("A_TOKEN")
    config["connections"]["api"]["allow"] = {"dags": ["etl_*"]}
    assert findings(capsys, tmp_path, config, "--mint") == (0, [])


def test_broken_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path, config: dict[str, Any]) -> None:
    """Every problem of the configuration is a finding, and exit code 2."""
    code, found = findings(capsys, tmp_path, {**config, "version": 2, "conections": {}})
    assert code == 2
    assert [finding.what for finding in found] == [
        "conections: unknown key; did you mean 'connections'?",
        "version: required; the only version is 1",
    ]


@pytest.mark.parametrize(
    ("server", "worker", "words"),
    [
        (None, None, []),
        (
            Setting("secrets", OURS, {"config_file": "a"}, False),
            Setting("workers", OURS, {"config_file": "a"}, False),
            [],
        ),
        (Setting("secrets", OURS, {}, True), None, ["[secrets] backend kwargs are not a JSON object"]),
        (
            Setting("secrets", OURS, {"config_file": "a"}, False),
            Setting("workers", OURS, {"config_file": "b"}, False),
            ["[secrets] and [workers] name different configurations"],
        ),
        (
            Setting("secrets", OURS, {"config_file": "a"}, False),
            Setting("workers", "other.Backend", {}, False),
            ["[workers] secrets_backend is other.Backend"],
        ),
    ],
)
def test_airflows_settings(server: Setting | None, worker: Setting | None, words: list[str]) -> None:
    """Settings of Airflow's that would make us fail, or not be asked, are found."""
    assert [finding.what for finding in checks.airflow_settings(server, worker, "CeleryExecutor")] == words


@pytest.mark.parametrize(("server", "found"), [(None, 1), (Setting("secrets", OURS, {}, False), 0)])
def test_local_executor_needs_both_sections(server: Setting | None, found: int) -> None:
    """LocalExecutor writes task logs unmasked to the scheduler's output, unless the scheduler has this backend too."""
    worker = Setting("workers", OURS, {}, False)
    assert len(list(checks.airflow_settings(server, worker, "LocalExecutor"))) == found


@pytest.mark.parametrize(("value", "found"), [("True", 1), ("False", 0), (None, 0)])
def test_use_cache(value: str | None, found: int) -> None:
    """Airflow's own cache, which knows no expiry, is a finding where it is on."""
    assert len(list(checks.use_cache(value))) == found


@pytest.mark.parametrize(("module", "extra", "prefixes"), checks.PACKAGES)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, module: str, extra: str, prefixes: tuple[str, ...]) -> None:
    """An SDK that some source or reference needs is found missing, with the kinds that need it and the extra."""
    everything = from_document(document.parse(WHOLE["everything"]), "everything")
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == module else object())
    (finding,) = checks.packages(everything)

    assert finding.what.startswith(f"{module} is not installed, and {prefixes[0]}")
    assert finding.mend == f"pip install 'airflow-ephemeral-secrets[{extra}]'"


def test_stores_of_secrets_are_asked_too(provider: Provider) -> None:
    """A store of secrets that cannot be reached is found before a mint needs it."""
    reference = {"from": "aws_secrets_manager", "secret_id": "s", "region": "eu-west-1", "endpoint_url": provider.url}
    config = from_document({"version": 1, "secrets": {"s": reference}}, "a test")
    provider.ahead = 3_600
    (finding,) = checks.endpoints(config, SystemClock())

    assert finding.check == "clock"
