"""Small files on the worker, and what may stand at their path instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.sources.files import read_text
from tests.sources.bad_files import FAULTS

LARGEST = 100


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b" a\tb ", " a\tb "),
        ("pässwörd\n".encode(), "pässwörd"),
        (b"x" * LARGEST, "x" * LARGEST),
    ],
)
def test_reads(content: bytes, expected: str, tmp_path: Path) -> None:
    """A file is its text, without the one newline that an editor leaves at its end."""
    path = tmp_path / "token"
    path.write_bytes(content)

    assert read_text(str(path), LARGEST, "token file") == expected


@pytest.mark.parametrize(("make", "fault"), FAULTS.items(), ids=lambda thing: getattr(thing, "__name__", ""))
def test_says_what_is_wrong(make: Callable[[Path], None], fault: str, tmp_path: Path) -> None:
    """Whatever stands at the path, the error names the path and the fault, and no file is left open."""
    path = tmp_path / "token"
    make(path)
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(SourceUnavailable) as caught:
        read_text(str(path), LARGEST, "token file")

    assert str(caught.value).startswith(f"token file {path} {fault}")
    assert caught.value.code == "file_unusable"
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_byte_too_many(tmp_path: Path) -> None:
    """The bound is exact."""
    path = tmp_path / "token"
    path.write_bytes(b"x" * (LARGEST + 1))

    with pytest.raises(SourceUnavailable, match=f"is larger than {LARGEST} bytes"):
        read_text(str(path), LARGEST, "token file")
