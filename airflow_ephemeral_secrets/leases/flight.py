"""
One flight at a time for a lease on this host.

A flight is a POSIX record lock on one byte of a file that is never deleted. The kernel drops it when its holder dies, a
forked child does not inherit it, and there is no lock file to sweep away under somebody's feet. Such a lock keeps
processes apart, not the threads of one: that is done by a set of the flights of this process.

A holder that is stuck, stopped by a signal for instance, keeps its lock. It has said until when it would be done, so
after that moment others take the next of a few lanes and overtake it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from airflow_ephemeral_secrets.leases.directory import unusable
from airflow_ephemeral_secrets.leases.lease import LeaseKey

LANES = 8
GRACE = 1.0
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLDER = struct.Struct("<di")
_SLOT = 16
_SLOTS = 1 << 14
_LOCKS = 1 << 40
_FLOCK = struct.Struct("hhqqi")

Inode = tuple[int, int]

_opened: dict[Inode, list[int]] = {}
_flying: dict[tuple[Inode, LeaseKey], object] = {}
_mutex = threading.Lock()


class Flights:
    """
    Locks of all leases, in one file.

    Its content is, for each lane of a lease, who holds it and the moment by which that process will be done; the locks
    lie far behind, where no byte exists. All stores of a process share one descriptor, because closing any descriptor
    of the file would drop the locks of all.

    :param directory: a descriptor
    :param root: the directory's name, for messages
    :raises StoreError: when the file cannot be opened
    """

    def __init__(self, directory: int, root: str) -> None:
        self._root = root
        with _mutex:
            try:
                with suppress(FileNotFoundError):
                    status = os.stat("locks", dir_fd=directory, follow_symlinks=False)
                    self._inode = (status.st_dev, status.st_ino)
                    if known := _opened.get(self._inode):
                        known[1] += 1
                        self._file = known[0]
                        return
                self._file = os.open("locks", _OPEN, 0o600, dir_fd=directory)
            except OSError as error:
                raise unusable(root, error) from None
            status = os.fstat(self._file)
            self._inode = (status.st_dev, status.st_ino)
            _opened[self._inode] = [self._file, 1]

    def close(self) -> None:
        """Close the file with the last store that uses it; in a forked child this leaves the parent's locks alone."""
        with _mutex:
            known = _opened.get(self._inode)
            if known is None:
                return
            known[1] -= 1
            if not known[1]:
                del _opened[self._inode]
                os.close(self._file)

    @contextmanager
    def flight(self, key: LeaseKey, now: float, until: float) -> Iterator[bool]:
        """
        Try to take off: a context whose value says whether we did; never waits.

        :param now: the boot clock
        :param until: when, by the boot clock, we shall be done
        :raises StoreError: when the kernel has no lock to give
        """
        place, flight, lane = (self._inode, key), object(), None
        try:
            # a signal handler may raise between any two steps: what is undone below is told by the dict alone
            with _mutex:
                alone = _flying.setdefault(place, flight) is flight
            lane = self._take(key, now, until) if alone else None
            yield lane is not None
        finally:
            if lane is not None:
                with suppress(OSError):
                    os.pwrite(self._file, _HOLDER.pack(0.0, 0), _place(key, lane))
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _byte(key, lane))
            with _mutex:
                if _flying.get(place) is flight:
                    del _flying[place]

    def _take(self, key: LeaseKey, now: float, until: float) -> int | None:
        try:
            for lane in range(LANES):
                if self._lock(key, lane):
                    os.pwrite(self._file, _HOLDER.pack(until, os.getpid()), _place(key, lane))
                    return lane
                if not self._overdue(key, lane, now):
                    return None
        except OSError as error:
            raise unusable(self._root, error) from None
        return None

    def _lock(self, key: LeaseKey, lane: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(key, lane))
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            return False
        return True

    def _overdue(self, key: LeaseKey, lane: int, now: float) -> bool:
        """Say whether whoever holds a lane should be done; what a former holder left there does not count."""
        content = os.pread(self._file, _HOLDER.size, _place(key, lane))
        if len(content) < _HOLDER.size:
            return False
        until, pid = _HOLDER.unpack(content)
        return bool(until + GRACE < now and pid == self._holder(key, lane))

    def _holder(self, key: LeaseKey, lane: int) -> int:
        """Ask the kernel which process holds a lane; 0 if none does."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _byte(key, lane), 1, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, asked))
        return 0 if kind == fcntl.F_UNLCK else int(pid)


def _byte(key: LeaseKey, lane: int) -> int:
    return _LOCKS + int(key[:12], 16) * LANES + lane


def _place(key: LeaseKey, lane: int) -> int:
    return (int(key[12:24], 16) % _SLOTS * LANES + lane) * _SLOT


def _forked() -> None:
    global _mutex  # noqa: PLW0603  # the parent may have held the old one while it forked
    _mutex = threading.Lock()
    _flying.clear()


os.register_at_fork(after_in_child=_forked)
