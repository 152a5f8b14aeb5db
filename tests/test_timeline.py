"""What audit files tell: the lines wanted, in order, however large, rotated or damaged the files are."""

from __future__ import annotations

import gzip
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets import timeline
from airflow_ephemeral_secrets.timeline import BLOCK, LONGEST_LINE, MOST, Wanted, files, read

NOON = datetime(2020, 1, 15, 12, tzinfo=timezone.utc)


def line(second: float = 0, *, pad: int = 0, **told: Any) -> str:
    who = {name: told.pop(name) for name in ("dag_id", "task_id", "run_id") if name in told}
    moment = (NOON + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": moment, "event": "lookup", "caller": who, "pad": "." * pad, **told}) + "\n"


def seconds(found: timeline.Timeline) -> list[float]:
    return [(line.time - NOON).total_seconds() for line in found.lines]


FACTS = {"dag_id": "etl", "task_id": "copy", "run_id": "manual__1", "conn_id": "lake", "lease_id": "00ff00ff00ff"}


@pytest.mark.parametrize("fact", [*FACTS, "outcome"])
def test_lines_are_found_by_each_fact(tmp_path: Path, fact: str) -> None:
    """A line is wanted if it has the very value: neither a longer one, nor the value in another place."""
    told: dict[str, Any] = {**FACTS, "outcome": "grant"}
    longer = line(2, **told | {fact: told[fact] + "x"})
    elsewhere = line(3, **told | {fact: "other", "reason": told[fact]})
    file = tmp_path / "audit.jsonl"
    file.write_text(line(1, **told) + longer + elsewhere)

    assert seconds(read([str(file)], Wanted(**{fact: told[fact]}))) == [1]


def test_all_facts_must_hold(tmp_path: Path) -> None:
    """A line that lacks one of the facts asked for is not wanted."""
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(line(at, **FACTS | {fact: "other"}) for at, fact in enumerate(FACTS)) + line(9, **FACTS))

    assert seconds(read([str(file)], Wanted(**FACTS))) == [9]


@pytest.mark.parametrize("value", ["täglich", 'say "hi"', "a/b\\c", "\N{SNOWMAN}", "a b"])
def test_values_that_json_escapes_are_found(tmp_path: Path, value: str) -> None:
    """A value is found however it is written: raw UTF-8, escaped, with or without spaces around it."""
    raw = json.dumps(json.loads(line(2, conn_id=value)), ensure_ascii=False, separators=(",", ":"))
    file = tmp_path / "audit.jsonl"
    file.write_text(line(1, conn_id=value) + raw)

    assert seconds(read([str(file)], Wanted(conn_id=value))) == [1, 2]


def test_lines_come_in_order(tmp_path: Path) -> None:
    """Lines of several files are told in the order of time, and at one moment in that of the file."""
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(line(3) + line(1, conn_id="x") + line(1, conn_id="y"))
    second.write_text(line(2))

    found = read([str(first), str(second)], Wanted())

    assert seconds(found) == [1, 1, 2, 3]
    assert [one.conn_id for one in found.lines[:2]] == ["x", "y"]


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Of more lines than are kept the newest are, and it is said how many are not."""
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(line(at) for at in range(10)))

    found = read([str(file)], Wanted(), most=3)

    assert (seconds(found), found.left_out) == ([7, 8, 9], 7)
    assert MOST == 100_000


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        '{"time":"2027-',
        "[]",
        '{"event":"mint"}',
        '{"time":"yesterday","event":"mint"}',
        '{"time":"9999-12-31T23:59:59-23:00","event":"mint"}',
        '{"time":"0001-01-01T00:00:00+23:00","event":"mint"}',
        "\xff\xfe",
        pytest.param('{"time":"2020-01-15T12:00:00Z","event":"mint","x":' + "[" * 200_000, id="nested"),
    ],
)
def test_damaged_lines_are_counted(tmp_path: Path, damage: str) -> None:
    """A line that is none of an audit costs nothing but itself, and is counted; an empty one is not."""
    file = tmp_path / "audit.jsonl"
    file.write_bytes(line(1).encode() + damage.encode("latin-1") + b"\n" + line(2).encode())

    found = read([str(file)], Wanted())

    assert (seconds(found), found.malformed) == ([1, 2], 1 if damage else 0)


@pytest.mark.parametrize("conn_id", [None, "lake"])
def test_blocks_do_not_cut_lines(tmp_path: Path, conn_id: str | None) -> None:
    """Lines that lie across the blocks in which a file is read are whole."""
    many = BLOCK // 1000 * 2
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(line(at, conn_id="lake", pad=1000) for at in range(many)))

    found = read([str(file)], Wanted(conn_id=conn_id))

    assert (len(found.lines), found.malformed) == (many, 0)


def test_line_without_end_is_no_trouble(tmp_path: Path) -> None:
    """A line that never ends is not held in memory, and those behind it are found."""
    file = tmp_path / "audit.jsonl"
    file.write_text(line(1, pad=LONGEST_LINE + 3 * BLOCK) + line(2))

    found = read([str(file)], Wanted())

    assert (seconds(found), found.malformed > 0) == ([2], True)


@pytest.mark.parametrize("step", [0.01, 10])
def test_since(tmp_path: Path, step: float) -> None:
    """Only lines since a moment, wherever in a large file it lies, and though lines are a little out of order."""
    many = BLOCK // 1000 * 3
    cut = int(many * 0.7)
    moments = [at * step for at in range(many)]
    moments[cut - 1], moments[cut + 1] = moments[cut + 1], moments[cut - 1]
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(line(at, pad=1000) for at in moments))

    found = read([str(file)], Wanted(since=NOON.timestamp() + cut * step))

    assert seconds(found) == pytest.approx([at * step for at in range(cut, many)], abs=0.001)


def test_rotated_files_are_read(tmp_path: Path) -> None:
    """The siblings that logrotate leaves behind belong to the file, compressed or not; others do not."""
    names = ["audit.jsonl", "audit.jsonl.1", "audit.jsonl-20270115", "audit.jsonl.2.gz", "audit.jsonl-20270114.gz"]
    for at, name in enumerate(names):
        (tmp_path / name).write_bytes(gzip.compress(line(at).encode()) if name.endswith("gz") else line(at).encode())
    for name in ("audit.jsonl.lock", "audit.jsonl2", "other.jsonl", "my-audit.jsonl"):
        (tmp_path / name).write_text(line(99))

    assert seconds(read(files(str(tmp_path / "audit.jsonl")), Wanted())) == [0, 1, 2, 3, 4]


WHOLE = gzip.compress("".join(line(at, pad=at % 100) for at in range(5_000)).encode())


@pytest.mark.parametrize(
    ("content", "least"),
    [
        pytest.param(WHOLE[:-8], 5_000, id="without its end"),
        pytest.param(WHOLE[: len(WHOLE) // 2], 1_000, id="half"),
        pytest.param(WHOLE[:-8] + bytes(8), 5_000, id="with another checksum"),
        pytest.param(WHOLE[: len(WHOLE) // 2] + b"\xff" * 50, 1_000, id="damaged"),
        pytest.param(b"hello", 0, id="not compressed"),
    ],
)
def test_archives_that_break_off(tmp_path: Path, content: bytes, least: int) -> None:
    """What a damaged archive still holds is told, and so are other files; that it breaks off is counted."""
    (tmp_path / "audit.jsonl.1.gz").write_bytes(content)
    (tmp_path / "audit.jsonl").write_text(line(6_000))

    found = read(files(str(tmp_path / "audit.jsonl")), Wanted())

    assert (seconds(found)[-1], found.malformed > 0) == (6_000, True)
    assert len(found.lines) > least


@pytest.mark.parametrize("compressed", [False, True])
def test_a_rotation_takes_nothing_away(tmp_path: Path, compressed: bool) -> None:
    """Files that are renamed or compressed while the first of them is read are read all the same, each once."""
    names = ["audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"]
    for at, name in enumerate(names):
        (tmp_path / name).write_text(line(at))
    found = timeline.scan(files(str(tmp_path / "audit.jsonl")), Wanted())
    told = [next(found)]
    if compressed:
        (tmp_path / "audit.jsonl.1").rename(tmp_path / "audit.jsonl.1.gz")
    else:
        for number, name in enumerate(names):
            (tmp_path / name).rename(tmp_path / f"audit.jsonl.{3 - number}")
        (tmp_path / "audit.jsonl").write_text(line(9))
    told += found

    assert [one and (one.time - NOON).total_seconds() for one in told] == [0, 1, 2]


def test_files_held_open_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many files only some are opened ahead; one that has gone when its turn comes is counted."""
    monkeypatch.setattr(timeline, "AHEAD", 2)
    for at in range(4):
        (tmp_path / f"{at}.jsonl").write_text(line(at))
    found = timeline.scan(files(str(tmp_path)), Wanted())
    next(found)
    for gone in tmp_path.iterdir():
        gone.unlink()

    assert [one and (one.time - NOON).total_seconds() for one in found] == [1, None, None]


def test_directory_of_files(tmp_path: Path) -> None:
    """A directory stands for all audit files in it: those of many workers, shipped to one place."""
    for at, name in enumerate(["worker-1.jsonl", "worker-2.jsonl.1", "notes.txt"]):
        (tmp_path / name).write_text(line(at))

    assert seconds(read(files(str(tmp_path)), Wanted())) == [0, 1]
    assert files(str(tmp_path / "missing" / "audit.jsonl")) == []


def test_old_files_are_passed_over(tmp_path: Path) -> None:
    """A file that was last written before the moment asked for is not read."""
    file = tmp_path / "audit.jsonl.1"
    file.write_text(line(1))
    os.utime(file, (NOON.timestamp() - 10,) * 2)

    assert read([str(file)], Wanted(since=NOON.timestamp())).lines == []
