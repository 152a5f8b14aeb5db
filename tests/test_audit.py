"""Every lookup and mint leaves one line that tells all but the secret, and never costs a lookup."""

from __future__ import annotations

import json
import logging
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.audit_file import SLOW, AuditFile
from airflow_ephemeral_secrets.audit_line import LONGEST
from airflow_ephemeral_secrets.caller import Caller, stamp_id
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.testing import START, FakeClock, FakeSource
from tests.counted import Counted
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
    "attribution",
    "correlation_id",
    "stamp",
    "stamp_id",
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
    assert lookup["time"] == lookup["issued_at"] == "2027-01-15T08:00:00Z"
    assert lookup["expires_at"] == "2027-01-15T08:15:00Z"
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


def test_error_of_others_leaves_its_type(tmp_path: Path) -> None:
    """A source that raises what is none of our errors leaves lines too, with its type and nothing of its text."""
    file = tmp_path / "audit.jsonl"
    with pytest.raises(SourceFailed):
        resolver(audit=file, raises=ValueError("canary")).connection("api", CALLER)
    told = [(line["event"], line["outcome"], line["code"]) for line in lines(file)]
    assert told == [("mint", "fail", "unexpected"), ("lookup", "fail", "unexpected")]
    assert "ValueError" in file.read_text()
    assert "canary" not in file.read_text()


def test_aws_access_key_id_is_named(tmp_path: Path) -> None:
    """For AWS the access key id is in the line, since CloudTrail records it."""
    file = tmp_path / "audit.jsonl"
    clock = FakeClock()
    audited(
        Audit(clock, lambda: [AuditFile(str(file))]),
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


@contextmanager
def room(size: int) -> Iterator[None]:
    """Let files grow to a size and no further: what is written beyond it is cut, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_costs_lines_which_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk lookups go on; the first loss is said, and the next line that is written tells how many."""
    file, counted = tmp_path / "audit.jsonl", Counted()
    asked = resolver(audit=file, telemetry=counted)
    asked.connection("api", CALLER)
    before = file.read_bytes()
    with room(len(before) + 50):
        for _ in range(3):
            assert asked.connection("api", CALLER)
    assert asked.connection("api", CALLER)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert "its lines are lost" in told[0]
    assert "3 were lost" in told[1]
    assert json.loads(file.read_bytes().splitlines()[-1])["lines_lost"] == 3
    assert counted.counted["audit.lost"] == 3


def test_torn_line_spoils_no_other(tmp_path: Path) -> None:
    """A line cut short by a full disk, ours or another process's, is not continued by the next one."""
    file = tmp_path / "audit.jsonl"
    asked = resolver(audit=file)
    asked.connection("api", CALLER)
    whole = len(file.read_bytes())
    with room(whole + 50):
        asked.connection("api", CALLER)
    resolver(audit=file).connection("api", CALLER)
    torn = file.read_bytes()[whole:].splitlines()
    assert len(torn[0]) == 50
    assert [json.loads(line)["event"] for line in torn[1:]] == ["mint", "lookup"]


def test_slow_file_rests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a write that took over five seconds the file is left alone for a minute."""

    class Slow(AuditFile):
        def _append(self, line: bytes) -> None:
            super()._append(line)
            clock.advance(SLOW + 1)

    file, clock = tmp_path / "audit.jsonl", FakeClock()
    slow = Slow(str(file), lambda: clock.boot)
    slow.write(b"{}")
    with pytest.raises(OSError, match="rests"):
        slow.write(b"{}")
    clock.advance(60)
    slow.write(b"{}")
    assert file.read_bytes() == b"{}\n{}\n"


def test_line_is_bounded(tmp_path: Path) -> None:
    """A conn_id that a Dag made up, however long, makes no line over 16 KiB."""
    file = tmp_path / "audit.jsonl"
    long = Caller(process="task", dag_id="d" * 30_000, task_id="t", run_id="r")
    resolver(audit=file).connection("api", long)
    assert [len(line) < LONGEST for line in file.read_bytes().splitlines()] == [True, True]
    assert lines(file)[-1]["caller"]["dag_id"] == "d" * 500


def test_line_is_bounded_whatever_is_in_it(tmp_path: Path) -> None:
    """Nor do characters that take six bytes each, in each of its texts."""
    file, text = tmp_path / "audit.jsonl", "\x01" * 5_000
    long = Caller(process="server", dag_id=text, task_id=text, run_id=text, team=text, run_type=text, owner=text)
    with pytest.raises(AccessDenied):
        resolver(audit=file).connection("api", long)
    (line,) = file.read_bytes().splitlines()
    assert len(line) < LONGEST
    assert json.loads(line)["outcome"] == "deny"


def test_many_writers_tear_no_line(tmp_path: Path) -> None:
    """Processes that write at once, while the file is rotated under them, leave whole lines and lose none."""
    file = tmp_path / "audit.jsonl"
    children = []
    for writer in range(8):
        child = os.fork()
        if not child:
            sink = AuditFile(str(file))
            for number in range(200):
                sink.write(json.dumps({"writer": writer, "number": number, "pad": "." * (number * 7 % 900)}).encode())
            os._exit(0)
        children.append(child)
    for turn in range(5):
        with suppress(FileNotFoundError):
            file.rename(tmp_path / f"audit.jsonl.{turn}")
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    told = [json.loads(line) for path in tmp_path.iterdir() for line in filter(None, path.read_bytes().splitlines())]
    assert {(one["writer"], one["number"]) for one in told} == {(w, n) for w in range(8) for n in range(200)}
    assert len(told) == 1600


def test_stamp_is_told(tmp_path: Path) -> None:
    """A line names what the credential names its caller by at the provider, and the try of the task that asked."""
    file = tmp_path / "audit.jsonl"
    resolver(audit=file, source=FakeSource(attribution="run")).connection("api", CALLER)
    for line in lines(file):
        assert (line["attribution"], line["stamp"]) == ("run", {"dag_id": "a_dag", "run_id": "a_run"})
        assert line["stamp_id"] == stamp_id(line["stamp"])
        assert line["correlation_id"] == CALLER.correlation_id


def test_stale_lease_is_told(tmp_path: Path) -> None:
    """A lookup served from a lease whose refresh fails, in the last minute of its life, says so."""
    file, clock, counted = tmp_path / "audit.jsonl", FakeClock(), Counted()
    source = FakeSource()
    asked = resolver(audit=file, clock=clock, source=source, telemetry=counted)
    asked.connection("api", CALLER)
    clock.advance(870)
    source.raises.append(SourceFailed("no"))
    asked.connection("api", CALLER)
    assert (lines(file)[-1]["outcome"], lines(file)[-1]["stale"]) == ("grant", True)
    assert counted.counted["lookup.stale"] == 1
