"""A thousand processes that want the same lease at the same moment, and nobody holds it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import MintError, SourceFailed
from airflow_ephemeral_secrets.leases.cache import Mint
from benchmarks.figure import Figure
from benchmarks.host import DEADLINE, ask, credential, folder_in_ram, fork

PROCESSES = 1_000
MINT_SECONDS = 0.3


class Line(NamedTuple):
    """What a process tells of a call to the source or of the answer it got."""

    pid: int
    moment: float
    told: str


def figures() -> Iterator[Figure]:
    _, calls, answers = storm(_granted)
    late = max(line.moment for line in answers) - calls[-1].moment
    yield Figure(
        f"{len(answers):,} processes ask at once for one cold lease, mint takes {MINT_SECONDS * 1e3:.0f} ms",
        f"{len(calls)} mint, the last answer {late:.2f} s after it, {_kinds(answers)}",
        "1 mint, all within 1.5 s of it, the same token",
        len(calls) == 1 and late < 1.5 and len(answers) == PROCESSES and len({line.told for line in answers}) == 1,
    )
    began, calls, answers = storm(_down)
    attempts, slowest = len({line.pid for line in calls}), max(line.moment for line in answers) - began
    yield Figure(
        "the same with the source down",
        f"{attempts} attempt ({len(calls)} calls), the last answer after {slowest:.2f} s, {_kinds(answers)}",
        f"1 attempt, all within the deadline of {DEADLINE:.0f} s, the same typed error",
        attempts == 1
        and slowest < DEADLINE
        and len(answers) == PROCESSES
        and {line.told for line in answers} == {_told(_outage(calls[-1].pid))},
    )


def storm(mint: Mint) -> tuple[float, list[Line], list[Line]]:
    """
    Let them all loose at once.

    :return: when that was, the calls to the source and the answers
    """
    with folder_in_ram() as folder:
        store, calls, answers = folder / "store", folder / "calls", folder / "answers"
        ready, arrived = os.pipe()
        gate, opens = os.pipe()

        def called(asked: Instant) -> Credential:
            time.sleep(MINT_SECONDS)
            _append(calls, "")
            return mint(asked)

        def wait_and_ask() -> None:
            os.close(opens)
            os.write(arrived, b".")
            os.read(gate, 1)
            try:
                told = ask(store, called).lease.lease_id
            except MintError as error:
                told = _told(error)
            _append(answers, told)

        children = [fork(wait_and_ask) for _ in range(PROCESSES)]
        left = PROCESSES
        while left:
            left -= len(os.read(ready, left))
        began = time.monotonic()
        os.close(opens)
        for child in children:
            os.waitpid(child, 0)
        for descriptor in (ready, arrived, gate):
            os.close(descriptor)
        return began, _lines(calls), _lines(answers)


def _granted(asked: Instant) -> Credential:
    return credential(asked.wall + 3600)


def _down(_: Instant) -> NoReturn:
    raise _outage(os.getpid())


def _outage(pid: int) -> SourceFailed:
    return SourceFailed("the source is down", code="ServiceUnavailable", source="reader", request_id=f"{pid}")


def _told(error: MintError) -> str:
    return f"{type(error).__name__} {error} {error.code} {error.source} {error.request_id}"


def _kinds(answers: list[Line]) -> str:
    return f"{len({line.told for line in answers})} kind of answer"


def _append(path: Path, told: str) -> None:
    line = json.dumps(Line(os.getpid(), time.monotonic(), told)).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line)
    os.close(descriptor)


def _lines(path: Path) -> list[Line]:
    return [Line(*json.loads(line)) for line in path.read_text().splitlines()]
