"""Airflow's door: what it calls, what it gets, and that it never gets anything else."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

from airflow_ephemeral_secrets import _airflow, backend, masking
from airflow_ephemeral_secrets.backend import CredentialNotGranted, EphemeralSecretsBackend
from airflow_ephemeral_secrets.masking import Masker, Masks
from airflow_ephemeral_secrets.sources.static import Static

CONFIG: dict[str, Any] = {
    "version": 1,
    "secrets": {"token": {"from": "env", "name": "A_TOKEN"}},
    "sources": {"api": {"kind": "static", "token": {"secret": "token"}}},
    "connections": {
        "api": {"source": "api", "shape": "http", "host": "https://api.example.com"},
        "team_*": {"source": "api", "shape": "http", "host": "https://api.example.com", "allow": {"teams": ["red"]}},
    },
    "variables": {"TOKEN": {"source": "api", "value": "<{token}>"}},
    "store": {"host": "off"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EphemeralSecretsBackend:
    """A backend whose kwargs, and so whose leases, are those of one test."""
    monkeypatch.setenv("A_TOKEN", f"canary-{tmp_path.name}/+")
    return EphemeralSecretsBackend(config={**CONFIG, "audit": {"file": str(tmp_path / "audit.jsonl")}})


def test_get_connection(asked: EphemeralSecretsBackend) -> None:
    """An owned conn_id is an ordinary Connection of the class Airflow set."""
    found = asked.get_connection("api")
    assert type(found) is Connection
    assert (found.conn_id, found.conn_type, found.host) == ("api", "http", "https://api.example.com")
    assert found.extra_dejson["Authorization"].startswith("Bearer canary-")


def test_get_conn_value_is_the_same_as_json(asked: EphemeralSecretsBackend) -> None:
    """The JSON form makes the same Connection."""
    value = asked.get_conn_value("api")
    assert value
    assert Connection.from_json(value, "api") == asked.get_connection("api")


def test_aget_connection_is_the_same(asked: EphemeralSecretsBackend) -> None:
    """The asynchronous form makes the same Connection."""
    assert asyncio.run(asked.aget_connection("api")) == asked.get_connection("api")
    assert asyncio.run(asked.aget_connection("other")) is None


def test_aget_connection_does_not_block_the_loop(asked: EphemeralSecretsBackend) -> None:
    """While a source thinks, the event loop goes on."""
    thinking, go_on = threading.Event(), threading.Event()
    original = Static.mint

    def slow(self: Static, minting: Any) -> Any:
        thinking.set()
        assert go_on.wait(10)
        return original(self, minting)

    async def scenario() -> Any:
        lookup = asyncio.create_task(asked.aget_connection("api"))
        while not thinking.is_set():
            await asyncio.sleep(0)
        go_on.set()
        return await lookup

    with patch.object(Static, "mint", slow):
        assert asyncio.run(scenario()).conn_id == "api"


def test_get_variable(asked: EphemeralSecretsBackend) -> None:
    """An owned variable is its value, another is None, and configuration options are never ours."""
    assert str(asked.get_variable("TOKEN")).startswith("<canary-")
    assert asked.get_variable("OTHER") is None
    assert asked.get_config("sql_alchemy_conn") is None


def test_team_name_is_accepted_and_counts(asked: EphemeralSecretsBackend) -> None:
    """The team that Airflow names decides, in every method that takes one."""
    assert asked.get_connection("team_api", team_name="red")
    assert asked.get_variable("TOKEN", team_name="red")
    with pytest.raises(CredentialNotGranted, match="does not name team blue"):
        asked.get_conn_value("team_api", team_name="blue")


def test_everything_is_masked_before_it_is_given(
    asked: EphemeralSecretsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All forms are registered with Airflow's masker, in one call, before the caller has them, and only once."""
    calls: list[Masks] = []
    monkeypatch.setattr(backend, "_masker", Masker(calls.append))
    for _ in range(2):
        found = asked.get_connection("api")
    token = found.extra_dejson["Authorization"].removeprefix("Bearer ")
    (masks,) = calls
    assert masks.forms == masking.forms([token])
    assert len(masks.forms) == 4
    assert masks.also == (found.extra, f"Bearer {token}")


def test_asynchronous_masking(asked: EphemeralSecretsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an event loop the masker is awaited, since its synchronous form could deadlock there."""
    calls: list[Masks] = []

    async def amask(masks: Masks) -> None:
        calls.append(masks)

    def never(masks: Masks) -> None:
        raise AssertionError("the synchronous masker was called in an event loop")

    monkeypatch.setattr(backend, "_masker", Masker(never))
    monkeypatch.setattr(_airflow, "amask", amask)
    asyncio.run(asked.aget_connection("api"))
    asyncio.run(asked.aget_connection("api"))
    assert len(calls) == 1


def test_refusal_stops_airflow(asked: EphemeralSecretsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of an owned name is the one exception at which Airflow asks nobody else, and it travels alone."""
    monkeypatch.delenv("A_TOKEN")
    with pytest.raises(AirflowSecretsBackendAccessDenied) as caught:
        asked.get_connection("api")
    assert str(caught.value) == (
        "connection 'api' is not granted by source 'api': environment variable A_TOKEN is not set on this worker"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_error_of_ours_stops_airflow_too(asked: EphemeralSecretsBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours is refused as well, naming its place and nothing of its text."""

    def bug(*_: object) -> None:
        raise RuntimeError("canary-of-a-bug")

    monkeypatch.setattr(_airflow, "caller", bug)
    with pytest.raises(CredentialNotGranted, match=r"RuntimeError at test_backend\.py:\d+") as caught:
        asked.get_connection("api")
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_what_cannot_be_masked_is_not_handed_out(
    asked: EphemeralSecretsBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where masking itself fails, the lookup is refused: neither handed out bare, nor left to another backend."""

    def fail(_: Masks) -> None:
        raise RuntimeError("canary-of-a-masker")

    async def afail(_: Masks) -> None:
        fail(_)

    monkeypatch.setattr(backend, "_masker", Masker(fail))
    monkeypatch.setattr(_airflow, "amask", afail)
    for ask in (
        lambda: asked.get_connection("api"),
        lambda: asked.get_variable("TOKEN"),
        lambda: asyncio.run(asked.aget_connection("api")),
    ):
        with pytest.raises(CredentialNotGranted, match="RuntimeError at test_backend") as caught:
            ask()
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("kwargs", [{}, {"config_file": "/nonexistent"}, {"config": "{"}, {"confg": 1}])
def test_constructor_never_raises(kwargs: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the kwargs, Airflow starts; the problem is logged once and every lookup is refused with it."""
    for _ in range(2):
        built = EphemeralSecretsBackend(**kwargs)
    with pytest.raises(CredentialNotGranted, match=r"configuration .* is not usable"):
        built.get_connection("anything")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) <= 1


def test_broken_configuration_leaves_other_names_alone(tmp_path: Path) -> None:
    """Names that a broken configuration does not claim fall through to Airflow's next backend."""
    file = tmp_path / "e.json"
    file.write_text(json.dumps({**CONFIG, "verion": 1}))
    built = EphemeralSecretsBackend(config_file=str(file))
    assert built.get_connection("somebody_elses") is None
    with pytest.raises(CredentialNotGranted, match="did you mean 'version'"):
        built.get_connection("api")


SILENT = """
import json, os, socket, sys
import airflow.sdk, airflow.sdk.configuration
from airflow_ephemeral_secrets import EphemeralSecretsBackend
config = json.loads(sys.argv[1])
built = EphemeralSecretsBackend(config=config)
seen = []
def hook(event, arguments):
    if event.startswith(("socket.", "open", "os.", "subprocess.")):
        seen.append(event)
sys.addaudithook(hook)
threads = __import__("threading").active_count()
assert built.get_connection("not_ours") is None
assert built.get_variable("NOT_OURS") is None
loaded = [name for name in ("boto3", "botocore", "requests", "urllib3", "azure", "google.auth") if name in sys.modules]
print(json.dumps({"seen": seen, "loaded": loaded, "threads": threads}))
"""


def test_unowned_lookup_touches_nothing() -> None:
    """Construction and a miss start no thread and load no SDK; a miss touches neither network nor disk."""
    done = subprocess.run(
        [sys.executable, "-c", SILENT, json.dumps(CONFIG)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"seen": [], "loaded": [], "threads": 1}


def test_package_itself_imports_nothing() -> None:
    """Importing the package, which Airflow does to find the class, loads none of its modules."""
    script = "import sys, airflow_ephemeral_secrets; print([m for m in sys.modules if m.startswith('airflow')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['airflow_ephemeral_secrets']"
