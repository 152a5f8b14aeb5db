"""Small files on the worker that sources and secret references read."""

from __future__ import annotations

import os
import stat

from airflow_ephemeral_secrets.errors import SourceUnavailable


def read_text(path: str, largest: int, what: str) -> str:
    """
    Read a small text file, without its final newline.

    :param largest: bytes it may hold
    :param what: what it is, for messages
    :raises SourceUnavailable: when it is missing, empty, too large, not a regular file or not UTF-8
    """

    def unavailable(fault: str) -> SourceUnavailable:
        return SourceUnavailable(f"{what} {path} {fault}", code="file_unusable")

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unavailable(f"cannot be opened: {os.strerror(error.errno or 0).lower()}") from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise unavailable("is not a regular file")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise unavailable(f"is larger than {largest} bytes")
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise unavailable("is not UTF-8") from None
    if not text:
        raise unavailable("is empty")
    return text
