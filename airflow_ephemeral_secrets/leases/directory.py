"""A directory in RAM that only this user can enter."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from airflow_ephemeral_secrets.errors import StoreError

IN_RAM = frozenset({"tmpfs", "ramfs"})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
        raise unusable(path, error) from None
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


def open_in_ram(root: str, name: str) -> int:
    """
    Open a private directory below a private root in RAM, creating both if need be.

    :return: a descriptor
    :raises StoreError: when either is not safe, or not in RAM
    """
    parent = open_private(root.rstrip("/") or "/")
    try:
        kind = file_system(parent)
        if kind not in IN_RAM:
            raise StoreError(
                f"store directory {root} is on {kind}, not in RAM",
                code="store_on_disk",
                hint="a directory on tmpfs, or store.host: off",
            )
        return open_private(name, parent)
    finally:
        os.close(parent)


def unusable(path: str, error: OSError) -> StoreError:
    """Say why the kernel does not let us use it."""
    return StoreError(f"store directory {path}: {os.strerror(error.errno or 0).lower()}", code="store_unusable")
