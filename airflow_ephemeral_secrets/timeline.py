"""
What the audit's files tell, in the order in which it happened.

A file may have gigabytes, so it is read in blocks, and only lines that hold what is asked for are decoded: text that
JSON writes as it is, so that lines are found however something that ships logs has spaced them.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from datetime import datetime, timezone
from heapq import nlargest
from io import BufferedIOBase, BufferedReader
from itertools import islice
from operator import attrgetter
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from airflow_ephemeral_secrets import archive

AHEAD = 128
"""How many files are held open before they are read."""
BLOCK = 4 << 20
LONGEST_LINE = 1 << 20
MOST = 100_000
SLACK = 600.0
"""Seconds by which the lines of a file may be out of order: hosts may share it, and a lookup may take a while."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]+")
_ROTATED = re.compile(r"[.-][0-9-]+(\.gz)?")


class Who(Struct, frozen=True, kw_only=True):
    """The caller, as a line has it."""

    process: str | None = None
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    try_number: int | None = None
    map_index: int | None = None
    team: str | None = None
    run_type: str | None = None
    owner: str | None = None


class Line(Struct, frozen=True, kw_only=True):
    """
    One line, with the fields that people ask for.

    :param origin: ``from``: ``memory``, ``host`` or ``minted``
    :param raw: the line as it stands in the file
    """

    time: Annotated[datetime, Meta(tz=True)]
    event: str
    outcome: str | None = None
    conn_id: str | None = None
    recipe: str | None = None
    source: str | None = None
    kind: str | None = None
    principal: str | None = None
    access_key_id: str | None = None
    lease_id: str | None = None
    issued_at: Annotated[datetime, Meta(tz=True)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    origin: str | None = msgspec.field(default=None, name="from")
    caller: Who = Who()
    code: str | None = None
    reason: str | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    stamp_id: str | None = None
    duration_ms: float | None = None
    host: str | None = None
    raw: bytes = b""


class Wanted(Struct, frozen=True, kw_only=True):
    """
    Which lines: those that have every fact given.

    :param since: epoch seconds
    :param until: epoch seconds
    """

    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    conn_id: str | None = None
    lease_id: str | None = None
    outcome: str | None = None
    since: float | None = None
    until: float | None = None

    def admits(self, line: Line) -> bool:
        """Say whether a line is one of them."""
        return (
            (self.since is None or line.time.timestamp() >= self.since)
            and (self.until is None or line.time.timestamp() <= self.until)
            and all(
                getattr(self, name) in (None, getattr(line.caller, name)) for name in ("dag_id", "task_id", "run_id")
            )
            and all(getattr(self, name) in (None, getattr(line, name)) for name in ("conn_id", "lease_id", "outcome"))
        )

    def needle(self) -> bytes:
        """Find the longest text that such a line must hold, for a quick look at it."""
        facts = (self.run_id, self.lease_id, self.task_id, self.dag_id, self.conn_id)
        return max((text for fact in facts for text in _PLAIN.findall(fact or "")), key=len, default="").encode()


class Timeline(NamedTuple):
    """
    What was found.

    :param lines: in the order of time
    :param left_out: how many more there are, all of them older
    :param malformed: how many of the lines looked at are none of an audit, and how many files break off or have gone
    """

    lines: list[Line]
    left_out: int
    malformed: int


def files(path: str) -> list[str]:
    """
    Find an audit file and those it was rotated to, or all of a directory.

    :param path: the file, whose siblings may be called ``FILE.1``, ``FILE.2.gz``, ``FILE-20270115``; or a directory
    """
    if os.path.isdir(path):
        return sorted(os.path.join(path, name) for name in os.listdir(path) if ".jsonl" in name)
    folder, own = os.path.split(path)
    with suppress(FileNotFoundError):
        return [
            os.path.join(folder, name)
            for name in sorted(os.listdir(folder or "."), reverse=True)
            if name.startswith(own) and (name == own or _ROTATED.fullmatch(name[len(own) :]))
        ]
    return []


def read(paths: Iterable[str], wanted: Wanted, most: int = MOST) -> Timeline:
    """
    Read the lines wanted from some files.

    :param most: how many at most, the newest
    :raises OSError: when a file cannot be read
    """
    seen = malformed = 0

    def found() -> Iterator[Line]:
        nonlocal seen, malformed
        for line in scan(paths, wanted):
            if line is None:
                malformed += 1
            else:
                seen += 1
                yield line

    newest = nlargest(most, found(), key=attrgetter("time"))
    return Timeline(sorted(newest, key=attrgetter("time")), seen - len(newest), malformed)


def scan(paths: Iterable[str], wanted: Wanted) -> Iterator[Line | None]:
    """
    Give the lines wanted as they stand in some files, one at a time.

    :return: None for each line that is none of an audit, and for each file that breaks off or has gone
    :raises OSError: when a file cannot be read
    """
    for file in _opened(paths):
        if file is None:
            yield None
            continue
        try:
            for raw in _candidates(file, wanted):
                line = _decode(raw)
                if line is None or wanted.admits(line):
                    yield line
        except archive.BROKEN:
            yield None


def _decode(raw: bytes) -> Line | None:
    try:
        line = _decoder.decode(raw)
        return msgspec.structs.replace(line, raw=raw, time=line.time.astimezone(timezone.utc))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None


_decoder = msgspec.json.Decoder(Line)


def _opened(paths: Iterable[str]) -> Iterator[BufferedIOBase | None]:
    """Open files long before they are read, for meanwhile a rotation may take them away; None for one that has gone."""
    waiting = iter(paths)
    ahead: deque[BufferedIOBase | None] = deque()
    try:
        ahead.extend(map(_open, islice(waiting, AHEAD)))
        while ahead:
            with ahead.popleft() or nullcontext() as file:
                yield file
            ahead.extend(map(_open, islice(waiting, 1)))
    finally:
        for file in filter(None, ahead):
            file.close()


def _open(path: str) -> BufferedIOBase | None:
    try:
        return archive.unpacked(path)
    except FileNotFoundError:
        return None


def _candidates(file: BufferedIOBase, wanted: Wanted) -> Iterator[bytes]:
    """List the lines that may be wanted."""
    needle = wanted.needle()
    if wanted.since is not None:
        if os.fstat(file.fileno()).st_mtime < wanted.since:
            return
        if isinstance(file, BufferedReader):
            _skip(file, wanted.since - SLACK)
    for block in _blocks(file):
        yield from _matching(block, needle) if needle else filter(None, block.split(b"\n"))


def _skip(file: BufferedIOBase, moment: float) -> None:
    """Go to a place before which all is older, for lines come nearly in the order of time."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > BLOCK:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(LONGEST_LINE)
        line = _decode(file.readline(LONGEST_LINE))
        if line and line.time.timestamp() < moment:
            low = middle
        else:
            high = middle
    file.seek(low)
    if low:
        file.readline(LONGEST_LINE)


def _blocks(file: BufferedIOBase) -> Iterator[bytes]:
    """Read whole lines, many at a time; one that never ends is cut, and what precedes a fault is not lost."""
    rest = b""
    while block := file.read1(BLOCK):
        whole, newline, tail = block.rpartition(b"\n")
        if newline or len(rest) > LONGEST_LINE:
            yield rest + whole
            rest = tail
        else:
            rest += tail
    yield rest


def _matching(block: bytes, needle: bytes) -> Iterator[bytes]:
    """List the lines of a block that hold a text."""
    at = block.find(needle)
    while at >= 0:
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        yield block[block.rfind(b"\n", 0, at) + 1 : end]
        at = block.find(needle, end)
