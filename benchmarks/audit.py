"""The audit: many writers of one file, what its line costs a lookup, and the timeline of a run from a gigabyte."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from benchmarks.figure import Figure
from benchmarks.host import credential, fork
from benchmarks.lookup import CONFIG

if TYPE_CHECKING:
    from airflow_ephemeral_secrets import EphemeralSecretsBackend

WRITERS, LINES = 64, 1_000
ROUNDS, LOOKUPS = 20, 1_000
SIZE = 1_000_000_000
TASKS = 1_000
RUN, TASK = "scheduled__2027-01-15T00:00:00+00:00", "a_task"
CALLER = Caller(process="task", dag_id="a_dag", task_id=TASK, run_id=RUN, try_number=1, map_index=-1)


def figures() -> Iterator[Figure]:
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="airflow-ephemeral-audit-") as folder,
        patch.object(AwsAssumeRole, "mint", lambda *_: credential(time.time() + 3600)),
    ):
        yield _many_writers(Path(folder, "many.jsonl"))
        yield _cost(Path(folder, "cost.jsonl"))
        line = Path(folder, "cost.jsonl").read_bytes().splitlines()[-1] + b"\n"
        yield _timeline(Path(folder, "large.jsonl"), line)


def _audited(file: Path) -> dict[str, object]:
    return CONFIG | {"audit": {"file": str(file)}}


def _many_writers(file: Path) -> Figure:
    started = time.monotonic()
    children = [fork(partial(_write, file, writer)) for writer in range(WRITERS)]
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    took = time.monotonic() - started
    whole, torn = set(), 0
    for raw in filter(None, file.read_bytes().split(b"\n")):
        try:
            line = json.loads(raw)
        except ValueError:
            torn += 1
        else:
            whole |= (
                {(line["pid"], line["conn_id"], line["caller"]["try_number"])} if line["event"] == "lookup" else set()
            )
    return Figure(
        f"{WRITERS} processes look up {LINES:,} times each, with one audit file",
        f"{len(whole):,} whole lines, {torn} torn, {failed} processes failed, in {took:.1f} s",
        f"{WRITERS * LINES:,} whole lines, 0 torn",
        len(whole) == WRITERS * LINES and not torn and not failed,
    )


def _write(file: Path, writer: int) -> None:
    resolver = Installation({"config": _audited(file)}, f"/{writer}", lambda: None).resolver()
    for number in range(LINES):
        assert resolver.connection("lake", Caller(process="task", dag_id="a_dag", try_number=number))


def _cost(file: Path) -> Figure:
    """Look up by two backends in turn, one of which audits; the medians over rounds of both and of the ratio."""
    from airflow.sdk.definitions.connection import Connection

    from airflow_ephemeral_secrets import EphemeralSecretsBackend, _airflow

    backends = EphemeralSecretsBackend(config=_audited(file)), EphemeralSecretsBackend(config=CONFIG)
    with patch.object(_airflow, "caller", lambda *_: CALLER):
        for backend in backends:
            backend._set_connection_class(Connection)
            backend.get_connection("lake")
        rounds = [_slowest(backends) for _ in range(ROUNDS)]
    with_audit, without = (statistics.median(each) * 1e6 for each in zip(*rounds, strict=True))
    ratio = statistics.median(mine / other for mine, other in rounds)
    return Figure(
        "lookup with a line to the audit file, against one without, at the 99th percentile",
        f"{ratio:.2f}x ({with_audit:.0f} µs against {without:.0f} µs)",
        "at most 1.2x",
        ratio <= 1.2,
    )


def _slowest(backends: tuple[EphemeralSecretsBackend, ...]) -> list[float]:
    """Time lookups by backends in turn: the 99th percentile of each, in seconds."""
    took: list[list[float]] = [[] for _ in backends]
    for _ in range(LOOKUPS):
        for backend, times in zip(backends, took, strict=True):
            start = time.perf_counter()
            backend.get_connection("lake")
            times.append(time.perf_counter() - start)
    return [sorted(times)[int(LOOKUPS * 0.99)] for times in took]


def _timeline(file: Path, line: bytes) -> Figure:
    """Print the timeline of one run of many as a person does: by the command line, in a process of its own."""
    _fill(file, line)
    wanted = RUN.replace("00:00:00", "00:42:00")
    command = [sys.executable, "-m", "airflow_ephemeral_secrets.cli.main", "audit", "--file", str(file), "--run-id"]
    start = time.monotonic()
    done = subprocess.run([*command, wanted], capture_output=True, check=True)
    took = time.monotonic() - start
    found = len(done.stdout.splitlines()) - 1
    return Figure(
        f"airflow-ephemeral audit --run-id, a run of {TASKS:,} tasks in a file of {SIZE / 1e9:.0f} GB",
        f"{found:,} lines in {took:.2f} s",
        f"{TASKS:,} lines in under 3 s",
        found == TASKS and took < 3,
    )


def _fill(file: Path, line: bytes) -> None:
    """Write runs of a thousand tasks, a minute apart, until the file is as large as it shall be."""
    with file.open("wb") as large:
        for minute in range(SIZE // (len(line) * TASKS) + 1):
            run_id = RUN.replace("00:00:00", f"{minute // 60:02}:{minute % 60:02}:00")
            of_run = line.replace(RUN.encode(), run_id.encode())
            large.write(b"".join(of_run.replace(TASK.encode(), b"task_%d" % task) for task in range(TASKS)))
