"""Files on this worker: the configuration itself, the secrets and tokens it names, and the audit."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.clock import Clock, Deadline
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.errors import MintError, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import SecretReference
from airflow_ephemeral_secrets.sources.files import read_text
from airflow_ephemeral_secrets.sources.secret_refs import LARGEST, FileReference

ROOT = 0
IDENTITY_FILES = ("web_identity_token_file", "credentials_file")


def configuration(path: str | None) -> Iterator[Finding]:
    """Find a configuration file that others may change."""
    try:
        status = os.stat(path) if path else None
    except OSError:
        return  # the configuration's own problem
    if not status:
        return
    if status.st_mode & 0o022 or status.st_uid not in (ROOT, os.geteuid()):
        whose = f"belongs to uid {status.st_uid}" if status.st_uid not in (ROOT, os.geteuid()) else _mode(status)
        yield Finding(
            "files",
            f"the configuration {path} {whose}: others can change it",
            "whoever changes it decides to whom the worker's proof of identity is sent",
            f"chmod go-w {path}, owned by root or this user",
        )


def secrets(config: Config, clock: Clock) -> Iterator[Finding]:
    """Read the secrets that lie on this worker, and look at who else can."""
    for name, reference in config.secrets.items():
        if not reference.at_hand:
            continue
        if fault := unreadable(reference, config, clock):
            yield Finding(
                "files",
                f"secrets.{name}: {fault}",
                "nothing can be minted with it",
                f"secrets.{name}, or what it names on this worker",
            )
        elif isinstance(reference, FileReference):
            yield from _open_to_others(f"secrets.{name}", reference.path)


def unreadable(reference: SecretReference, config: Config, clock: Clock) -> str | None:
    """Say why a secret cannot be read, or None."""
    try:
        reference.read(config.network, Deadline(clock, 1.0))
    except MintError as error:
        return str(error)
    return None


def identities(config: Config) -> Iterator[Finding]:
    """Read the files by which this worker proves itself, and look at who else can."""
    for name, source in config.sources.items():
        for field in IDENTITY_FILES:
            path = msgspec.structs.asdict(source).get(field)
            if not path:
                continue
            where = f"sources.{name}.{field}"
            try:
                read_text(path, LARGEST, "file")
            except SourceUnavailable as error:
                yield Finding("files", f"{where}: {error}", "nothing can be minted with it", where)
            else:
                yield from _open_to_others(where, path)


def audit(path: str | None) -> Iterator[Finding]:
    """Find an audit file that cannot take a line, or that others read."""
    if not path:
        return
    fault = _not_appendable(path)
    if fault:
        yield Finding(
            "audit", f"audit file {path}: {fault}", "its lines are lost, and tasks go on", "audit.file, or its owner"
        )
        return
    if os.path.exists(path) and (status := os.stat(path)).st_mode & 0o077:
        yield Finding(
            "audit",
            f"audit file {path} {_mode(status)}: others read or change it",
            "it tells who acts as whom and when, and a line that others can change proves nothing",
            f"chmod 0600 {path}",
        )


def _not_appendable(path: str) -> str | None:
    """Say why no line can be added; a file that is not there is not made, for its owner would be whoever looks."""
    folder = os.path.dirname(path)
    if not os.path.lexists(path):
        if not os.path.isdir(folder):
            return f"there is no directory {folder}"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return "is a link" if os.path.islink(path) else os.strerror(error.errno or 0).lower()
    try:
        return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else "is not a regular file"
    finally:
        os.close(descriptor)


def _open_to_others(where: str, path: str) -> Iterator[Finding]:
    status = os.stat(path)
    if status.st_mode & 0o007:
        yield Finding(
            "files",
            f"{where}: {path} {_mode(status)}: every user of this host reads it",
            "it is what proves this worker",
            f"chmod o= {path} (Kubernetes: defaultMode: 0440 and fsGroup)",
        )


def _mode(status: os.stat_result) -> str:
    return f"has mode {stat.S_IMODE(status.st_mode):04o}"
