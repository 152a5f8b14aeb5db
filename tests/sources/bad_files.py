"""What may stand at a path instead of a small text file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

CANARY = "canary-of-a-secret-file"


def missing(path: Path) -> None:
    """Nothing there."""


def loop(path: Path) -> None:
    path.symlink_to(path)


def directory(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")


def empty(path: Path) -> None:
    path.touch()


def blank_line(path: Path) -> None:
    path.write_bytes(b"\n")


def gibibyte(path: Path) -> None:
    with path.open("wb") as file:
        file.write(CANARY.encode())
        file.truncate(1 << 30)


def latin_1(path: Path) -> None:
    path.write_bytes(f"{CANARY}é".encode("latin-1"))


FAULTS: dict[Callable[[Path], None], str] = {
    missing: "cannot be read: no such file or directory",
    loop: "cannot be read: too many levels of symbolic links",
    directory: "is not a regular file",
    fifo: "is not a regular file",
    device: "is not a regular file",
    unreadable: "cannot be read: input/output error",
    empty: "is empty",
    blank_line: "is empty",
    gibibyte: "is larger than",
    latin_1: "is not UTF-8",
}
