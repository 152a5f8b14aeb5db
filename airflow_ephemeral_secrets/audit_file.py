"""The audit's file: whole lines, appended by thousands of processes, wherever the file goes meanwhile."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

SLOW = 5.0
REST = 60.0
LOOKS = 3

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class AuditFile:
    """
    Append lines to a file, which is opened for each: so it may be rotated at any time, and no lock is needed.

    After a write that took over five seconds the file rests for a minute: a file system that has become slow costs
    lines and not lookups.

    :param path: the file, created 0600; a link, a pipe or a device is refused
    :param monotonic: says how long a write took, in seconds
    """

    def __init__(self, path: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.what = f"audit file {path}"
        self._path = path
        self._monotonic = monotonic
        self._rests_until = 0.0
        self._end = 0
        """Where the last line of this process ended, if nobody wrote meanwhile: there is nothing torn."""

    def write(self, line: bytes) -> None:
        """
        Append one whole line by one write, which the kernel does not mix with others.

        :raises OSError: when the line is lost
        """
        start = self._monotonic()
        if start < self._rests_until:
            raise OSError("so slow that it rests for a minute")
        try:
            self._append(line)
        finally:
            end = self._monotonic()
            if end - start > SLOW:
                self._rests_until = end + REST

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, _FLAGS, 0o600)
        try:
            size = _size(descriptor)
            whole = line + b"\n"
            if size != self._end and _torn(descriptor, size):
                whole = b"\n" + whole
            if os.write(descriptor, whole) < len(whole):
                raise OSError("no room for a whole line")
            self._end = size + len(whole)
        finally:
            os.close(descriptor)


def _size(descriptor: int) -> int:
    """
    Find where a file ends.

    :raises OSError: when it is no file; only what seems to be empty is looked at, for that takes as long as a write
    """
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
    except OSError:
        size = 0
    if not size and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError("not a regular file")
    return size


def _torn(descriptor: int, size: int) -> bool:
    """
    Say whether a file ends in a part of a line, as on a full disk.

    Another's line looks so while the kernel copies it, so this looks again: an empty line too many does no harm.
    """
    for _ in range(LOOKS):
        if not size or os.pread(descriptor, 1, size - 1) == b"\n":
            return False
        os.sched_yield()
        size = _size(descriptor)
    return True
