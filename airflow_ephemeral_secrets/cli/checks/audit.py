"""Where the audit goes."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing

from airflow_ephemeral_secrets.cli.checks.files import mode, reached
from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.settings import SyslogSettings

LOST = "its lines are lost, and tasks go on"


def file(path: str | None) -> Iterator[Finding]:
    """Find an audit file that cannot take a line, or that others read."""
    if not path:
        return
    fault = _not_appendable(path)
    if fault:
        yield Finding("audit", f"audit file {path}: {fault}", LOST, "audit.file, or its owner")
        return
    if os.path.exists(path) and (status := os.stat(path)).st_mode & 0o077 and reached(path, 0o011):
        yield Finding(
            "audit",
            f"audit file {path} {mode(status)}: others read or change it",
            "it tells who acts as whom and when, and a line that others can change proves nothing",
            f"chmod 0600 {path}",
        )


def _not_appendable(path: str) -> str | None:
    """
    Say why no line can be added, which takes reading where the last one ended.

    A file that is not there is not made, for its owner would be whoever looks.
    """
    folder = os.path.dirname(path)
    if not os.path.lexists(path):
        if not os.path.isdir(folder):
            return f"there is no directory {folder}"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return "is a link" if os.path.islink(path) else os.strerror(error.errno or 0).lower()
    try:
        return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else "is not a regular file"
    finally:
        os.close(descriptor)


def syslog(settings: SyslogSettings | None) -> Iterator[Finding]:
    """Find a socket of syslog that nobody listens at; a port of UDP does not say."""
    if settings is None or not settings.address.startswith("/"):
        return
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(settings.address)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            yield Finding("audit", f"syslog {settings.address}: {reason}", LOST, "audit.syslog.address")
