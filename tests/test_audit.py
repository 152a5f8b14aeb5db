"""Every lookup and mint leaves one line that tells all but the secret, and never costs a lookup."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, SourceRefused
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.testing import START, FakeClock
from tests.resolving import CALLER, resolver

FIELDS = {
    "time",
    "event",
    "conn_id",
    "recipe",
    "source",
    "kind",
    "principal",
    "lease_id",
    "issued_at",
    "expires_at",
    "from",
    "caller",
    "outcome",
    "request_id",
    "duration_ms",
    "host",
    "pid",
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lookup_that_mints_leaves_a_mint_and_a_lookup(tmp_path: Path) -> None:
    """A granted lookup names conn_id, recipe, source, principal, lease, times, origin and caller."""
    file = tmp_path / "audit.jsonl"
    resolver(audit=file).connection("api", CALLER)
    mint, lookup = lines(file)
    assert set(lookup) == FIELDS
    assert (mint["event"], mint["outcome"]) == ("mint", "grant")
    assert (lookup["event"], lookup["outcome"], lookup["from"]) == ("lookup", "grant", "minted")
    assert lookup["time"] == lookup["issued_at"] == "2027-01-15T08:00:00.000Z"
    assert lookup["expires_at"] == "2027-01-15T08:15:00.000Z"
    assert lookup["caller"]["dag_id"] == "a_dag"
    assert lookup["caller"]["process"] == "task"
    assert lookup["pid"] == os.getpid()


def test_two_lines_about_one_token_can_be_joined(tmp_path: Path) -> None:
    """The lease id of a cached answer is that of the lookup that minted, and is no part of the token's text."""
    file = tmp_path / "audit.jsonl"
    asked = resolver(audit=file)
    for _ in range(2):
        asked.connection("api", CALLER)
    _, first, second = lines(file)
    assert first["lease_id"] == second["lease_id"]
    assert len(first["lease_id"]) == 12
    assert second["from"] == "memory"


def test_no_line_holds_a_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the file nor the logger ever gets a token."""
    file = tmp_path / "audit.jsonl"
    with caplog.at_level(logging.DEBUG):
        spec = resolver(audit=file).connection("api", CALLER)
    assert spec
    assert "fake-token-1" in str(spec.extra)
    assert "fake-token-1" not in file.read_text() + caplog.text


@pytest.mark.parametrize(
    ("failure", "caller", "outcome", "code"),
    [
        (SourceRefused("no", code="AccessDenied", request_id="r-1"), CALLER, "fail", "AccessDenied"),
        (None, Caller(process="server"), "deny", "server"),
    ],
    ids=["failed", "denied"],
)
def test_refusals_leave_a_line(
    tmp_path: Path, failure: Exception | None, caller: Caller, outcome: str, code: str
) -> None:
    """A denial and a failure name their code and reason."""
    file = tmp_path / "audit.jsonl"
    with pytest.raises(EphemeralSecretsError):
        resolver(audit=file, raises=failure).connection("api", caller)
    last = lines(file)[-1]
    assert (last["event"], last["outcome"], last["code"]) == ("lookup", outcome, code)
    assert last["reason"]
    assert "lease_id" not in last


def test_aws_access_key_id_is_named(tmp_path: Path) -> None:
    """For AWS the access key id is in the line, since CloudTrail records it."""
    file = tmp_path / "audit.jsonl"
    clock = FakeClock()
    audited(
        Audit(clock, str(file)),
        resolver(),
        lambda: AwsCredential(access_key_id="ASIAX", secret_access_key="sss", expires_at=START + 900, principal="arn"),
    )
    assert lines(file)[0]["access_key_id"] == "ASIAX"
    assert "sss" not in file.read_text()


def audited(audit: Audit, known: Resolver, mint: Callable[[], Credential]) -> None:
    recipe: Recipe | None = known.config.connections.match("api")
    assert recipe
    with audit.request(CALLER, "api", recipe) as event, audit.mint(event, FakeClock().now()) as got:
        got.append(mint())


def test_file_is_private(tmp_path: Path) -> None:
    """The file is created for its owner alone."""
    file = tmp_path / "audit.jsonl"
    resolver(audit=file).connection("api", CALLER)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_rotated_file_is_reopened(tmp_path: Path) -> None:
    """After a rotation the next line goes to the new file."""
    file = tmp_path / "audit.jsonl"
    asked = resolver(audit=file)
    asked.connection("api", CALLER)
    file.rename(tmp_path / "audit.jsonl.1")
    asked.connection("api", CALLER)
    assert len(lines(file)) == 1


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "missing directory"])
def test_unusable_file_costs_its_lines_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A file that cannot be written never fails or blocks a lookup; it is said once."""
    file = tmp_path / "audit.jsonl"
    if kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file = tmp_path / "missing" / "audit.jsonl"
    asked = resolver(audit=file)
    for _ in range(3):
        assert asked.connection("api", CALLER)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "its lines are lost" in warnings[0].getMessage()
    assert not (tmp_path / "elsewhere").exists()


def test_levels(caplog: pytest.LogCaptureFixture) -> None:
    """The logger gets mints and refusals at INFO, and what a cache answered at DEBUG."""
    asked = resolver()
    with caplog.at_level(logging.DEBUG, "airflow_ephemeral_secrets.audit"):
        asked.connection("api", CALLER)
        with pytest.raises(AccessDenied):
            asked.connection("api", Caller(process="server"))
    told = [(record.levelname, json.loads(record.getMessage())["event"]) for record in caplog.records]
    assert told == [("INFO", "mint"), ("DEBUG", "lookup"), ("INFO", "lookup")]
