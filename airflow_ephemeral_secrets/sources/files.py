"""Small files on the worker that sources and secret references read."""

from __future__ import annotations

import os
import stat
from typing import Annotated

from msgspec import Meta

from airflow_ephemeral_secrets.errors import SourceUnavailable

AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00\n]*(?!\n)$", max_length=4096, description="an absolute path")]


def read_text(path: str, largest: int, what: str) -> str:
    """
    Read a small text file, without its final newline.

    :param largest: bytes it may hold
    :param what: what it is, for messages
    :raises SourceUnavailable: when it is missing, empty, too large, not a regular file or not UTF-8
    """
    fault, content = _content(path, largest)
    text = content.decode(errors="ignore").removesuffix("\n").removesuffix("\r")
    if not fault and len(content.decode(errors="ignore").encode()) != len(content):
        fault = "is not UTF-8"
    if not fault and not text:
        fault = "is empty"
    if fault:
        raise SourceUnavailable(f"{what} {path} {fault}", code="file_unusable")
    return text


def _content(path: str, largest: int) -> tuple[str, bytes]:
    """Read a file, or say what is wrong with it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "is not a regular file", b""
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(largest + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"cannot be read: {os.strerror(error.errno or 0).lower()}", b""
    return f"is larger than {largest} bytes" if len(content) > largest else "", content
