"""
Leases of all processes of one user on this host: a private directory in RAM, one file per lease.

The lock is a POSIX record lock on one byte of a file that is never deleted. The kernel drops it when its holder dies,
a forked child does not inherit it, and there is no lock file to sweep away under somebody's feet. Such a lock keeps
processes apart, not the threads of one: that is done by a set of the flights of this process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

import msgspec
from msgspec import Struct

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock
from airflow_ephemeral_secrets.errors import StoreError
from airflow_ephemeral_secrets.leases.failure import Failure
from airflow_ephemeral_secrets.leases.lease import Lease, LeaseKey

CAPACITY = 1_000
LARGEST_FILE = 64 * 1024
IN_RAM = frozenset({"tmpfs", "ramfs"})
STALE_DRAFT = 60.0
KEPT = 60.0
TOO_LARGE = "store_lease_too_large"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOCKS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a file."""

    version: Literal[1] = 1
    key: LeaseKey
    lease: Lease | None = None
    failure: Failure | None = None


_flying: set[tuple[tuple[int, int], LeaseKey]] = set()
_mutex = threading.Lock()
_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


def places(setting: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """
    List the directories to try, best first.

    :param setting: ``auto``, or a directory
    :param environ: the environment, for ``XDG_RUNTIME_DIR``
    """
    if setting != "auto":
        return (setting,)
    runtime = environ.get("XDG_RUNTIME_DIR")
    return (
        f"/dev/shm/airflow-ephemeral-{os.geteuid()}",  # noqa: S108  # proven to be ours alone before it is used
        *([f"{runtime}/airflow-ephemeral"] if runtime else []),
    )


def file_system(descriptor: int) -> str:
    """
    Name the type of the file system that an open directory lies on.

    :raises StoreError: when the kernel does not say
    """
    device = os.fstat(descriptor).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == wanted:
                return fields[fields.index("-") + 1]
    raise StoreError("the kernel does not say what file system it is on", code="store_unknown_file_system")


def open_private(path: str, parent: int | None = None) -> int:
    """
    Open a directory that only this user can enter, creating it if need be.

    :param path: the directory, relative to ``parent`` where given
    :return: a descriptor
    :raises StoreError: when it is a link, belongs to someone else or is open to others
    """
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700, dir_fd=parent)
        descriptor = os.open(path, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        raise _unusable(path, error) from None
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid():
        fault = f"belongs to uid {status.st_uid}, not to uid {os.geteuid()}"
    elif status.st_mode & 0o077:
        fault = f"is open to others (mode {stat.S_IMODE(status.st_mode):04o}, needs 0700)"
    else:
        return descriptor
    os.close(descriptor)
    raise StoreError(
        f"store directory {path} {fault}", code="store_unsafe", hint="store.host: a directory of its own, mode 0700"
    )


class HostStore:
    """
    Share leases between the processes of this user on this host.

    :param root: a directory on a file system in RAM; created if missing
    :param installation: a name for this Airflow installation: others on the host do not share its leases
    :param capacity: how many leases at most
    :param clock: its wall clock decides what has ended
    :raises StoreError: when the directory is not safe
    """

    def __init__(self, root: str, installation: str, capacity: int = CAPACITY, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.root = root
        self._clock = clock
        self.installation = installation
        self._capacity = capacity
        parent = open_private(root.rstrip("/") or "/")
        try:
            kind = file_system(parent)
            if kind not in IN_RAM:
                raise StoreError(
                    f"store directory {root} is on {kind}, not in RAM",
                    code="store_on_disk",
                    hint="a directory on tmpfs, or store.host: off",
                )
            self._directory = open_private(installation, parent)
        finally:
            os.close(parent)
        try:
            self._locks = os.open("locks", _LOCKS, 0o600, dir_fd=self._directory)
        except OSError as error:
            os.close(self._directory)
            raise _unusable(root, error) from None
        status = os.fstat(self._locks)
        self._inode = (status.st_dev, status.st_ino)

    def close(self) -> None:
        """Let go of the directory; in a forked child this leaves the parent's locks alone."""
        os.close(self._locks)
        os.close(self._directory)

    def get(self, key: LeaseKey) -> Lease | None:
        record = self._read(key, key)
        return record.lease if record else None

    def put(self, key: LeaseKey, lease: Lease) -> None:
        self._sweep()
        self._write(key, Record(key=key, lease=lease), until=lease.expires_at)
        self.recovered(key)

    def recovered(self, key: LeaseKey) -> None:
        with suppress(OSError):
            os.unlink(_failed(key), dir_fd=self._directory)

    def failure(self, key: LeaseKey) -> Failure | None:
        record = self._read(_failed(key), key)
        return record.failure if record else None

    def fail(self, key: LeaseKey, failure: Failure) -> None:
        self._sweep()
        until = self._clock.now().wall + max(failure.retry_boot, failure.shared_boot) - failure.failed_boot + KEPT
        self._write(_failed(key), Record(key=key, failure=failure), until=until)

    @contextmanager
    def flight(self, key: LeaseKey) -> Iterator[bool]:
        flight = (self._inode, key)
        with _mutex:
            alone = flight not in _flying
            _flying.add(flight)
        try:
            yield alone and self._lock(key)
        finally:
            if alone:
                with suppress(OSError):
                    fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _byte(key))
                with _mutex:
                    _flying.discard(flight)

    def _lock(self, key: LeaseKey) -> bool:
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(key))
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise _unusable(self.root, error) from None
            return False
        return True

    def _read(self, name: str, key: LeaseKey) -> Record | None:
        try:
            descriptor = os.open(name, _READ, dir_fd=self._directory)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
            if not ours or status.st_size > LARGEST_FILE:
                return None
            record = _decode(os.read(descriptor, LARGEST_FILE))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        finally:
            os.close(descriptor)
        return record if record.key == key else None

    def _write(self, name: str, record: Record, *, until: float) -> None:
        """Write a draft, date it with its end, and rename it: a reader sees the whole file or none."""
        content = _encode(record)
        if len(content) > LARGEST_FILE:
            raise StoreError("a lease is too large for the host store", code=TOO_LARGE)
        draft = f".{secrets.token_hex(8)}"
        try:
            descriptor = os.open(draft, _CREATE, 0o600, dir_fd=self._directory)
            try:
                if os.write(descriptor, content) != len(content):
                    raise OSError(errno.ENOSPC, "")
            finally:
                os.close(descriptor)
            os.utime(draft, (until, until), dir_fd=self._directory)
            os.rename(draft, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            with suppress(OSError):
                os.unlink(draft, dir_fd=self._directory)
            raise _unusable(self.root, error) from None

    def _sweep(self) -> None:
        """Remove what has ended, then what ends first, until there is room for one more."""
        now = self._clock.now().wall
        living: list[tuple[float, str]] = []
        with suppress(OSError):
            for entry in os.scandir(self._directory):
                if entry.name == "locks":
                    continue
                with suppress(OSError):
                    end = entry.stat(follow_symlinks=False).st_mtime
                    draft = entry.name.startswith(".")
                    if end < now - (STALE_DRAFT if draft else 0):
                        os.unlink(entry.name, dir_fd=self._directory)
                    elif not draft:
                        living.append((end, entry.name))
        for _, name in sorted(living)[: max(0, len(living) - self._capacity + 1)]:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)


def _forked() -> None:
    global _mutex  # noqa: PLW0603  # the parent may have held the old one while it forked
    _mutex = threading.Lock()
    _flying.clear()


os.register_at_fork(after_in_child=_forked)


def _byte(key: LeaseKey) -> int:
    return int(key[:15], 16)


def _failed(key: LeaseKey) -> str:
    return f"{key}.failed"


def _unusable(path: str, error: OSError) -> StoreError:
    return StoreError(f"store directory {path}: {os.strerror(error.errno or 0).lower()}", code="store_unusable")


def open_host(setting: str, environ: Mapping[str, str], installation: str) -> HostStore | None:
    """
    Open the first place that exists.

    :param setting: ``auto``, ``off``, or a directory
    :return: None where it is off
    :raises StoreError: when no place is safe; the first one's reason
    """
    if setting == "off":
        return None
    refused: list[StoreError] = []
    for place in places(setting, environ):
        try:
            return HostStore(place, installation)
        except StoreError as error:
            refused.append(error)
    raise refused[0]
