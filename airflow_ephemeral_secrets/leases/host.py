"""Leases of all processes of one user on this host: a private directory in RAM, one file per lease."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Literal

import msgspec
from msgspec import Struct

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock
from airflow_ephemeral_secrets.errors import StoreError
from airflow_ephemeral_secrets.leases.directory import open_in_ram, places, unusable
from airflow_ephemeral_secrets.leases.failure import Failure
from airflow_ephemeral_secrets.leases.flight import Flights
from airflow_ephemeral_secrets.leases.lease import Lease, LeaseKey

CAPACITY = 1_000
LARGEST_FILE = 64 * 1024
STALE_DRAFT = 60.0
KEPT = 60.0
TOO_LARGE = "store_lease_too_large"
OURS = frozenset({"locks", "epoch"})
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EPOCH = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a file."""

    version: Literal[1] = 1
    key: LeaseKey
    lease: Lease | None = None
    failure: Failure | None = None


_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


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
        self._directory = open_in_ram(root, installation)
        with ExitStack() as opened:
            opened.callback(os.close, self._directory)
            self._flights = Flights(self._directory, root)
            opened.callback(self._flights.close)
            try:
                self._epoch = os.open("epoch", _EPOCH, 0o600, dir_fd=self._directory)
            except OSError as error:
                raise unusable(root, error) from None
            opened.pop_all()

    def close(self) -> None:
        """Let go of the directory; in a forked child this leaves the parent's locks alone."""
        self._flights.close()
        os.close(self._epoch)
        os.close(self._directory)

    def epoch(self) -> int:
        return os.fstat(self._epoch).st_mtime_ns

    def get(self, key: LeaseKey) -> Lease | None:
        record = self._read(key, key)
        return record.lease if record else None

    def put(self, key: LeaseKey, lease: Lease) -> None:
        held, now = self.get(key), self._clock.now().boot
        overtaken = held is not None and lease.issued_boot < held.issued_boot <= now
        if not overtaken:
            self._sweep()
            self._write(key, Record(key=key, lease=lease), until=lease.expires_at)
        self.recovered(key)

    def leases(self) -> Iterator[tuple[LeaseKey, Lease]]:
        """Every lease it holds, in no order."""
        for name in os.listdir(self._directory):
            if _is_key(name) and (lease := self.get(LeaseKey(name))):
                yield LeaseKey(name), lease

    def discard(self, key: LeaseKey, lease_id: str) -> bool:
        try:
            found = self._discard(key, lease_id)
            self._turn()
        except OSError as error:
            raise unusable(self.root, error) from None
        return found

    def _discard(self, key: LeaseKey, lease_id: str) -> bool:
        """Take the file aside, so that nobody replaces it while we look, and put it back if it is another lease."""
        aside = f".{secrets.token_hex(8)}"
        try:
            os.rename(key, aside, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except FileNotFoundError:
            return False
        record = self._read(aside, key)
        found = record is not None and record.lease is not None and record.lease.lease_id == lease_id
        if not found:
            with suppress(FileExistsError):
                os.link(aside, key, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.unlink(aside, dir_fd=self._directory)
        return found

    def clear(self) -> None:
        """Forget everything."""
        try:
            for name in os.listdir(self._directory):
                if name not in OURS:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=self._directory)
            self._turn()
        except OSError as error:
            raise unusable(self.root, error) from None

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

    def flight(self, key: LeaseKey, until: float) -> AbstractContextManager[bool]:
        return self._flights.flight(key, self._clock.now().boot, until)

    def _turn(self) -> None:
        """Tell all processes that something they may hold in memory was taken back."""
        moment = self.epoch() + 1
        os.utime(self._epoch, ns=(moment, moment))

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
            raise unusable(self.root, error) from None

    def _sweep(self) -> None:
        """Remove what has ended, then what ends first, until there is room for one more."""
        now = self._clock.now().wall
        living: list[tuple[float, str]] = []
        with suppress(OSError):
            for entry in os.scandir(self._directory):
                if entry.name in OURS:
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


def _failed(key: LeaseKey) -> str:
    return f"{key}.failed"


def _is_key(name: str) -> bool:
    return len(name) == 64 and not set(name) - set("0123456789abcdef")


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
