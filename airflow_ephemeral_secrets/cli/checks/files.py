"""Files on this worker: the configuration itself, and the secrets and tokens that it names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

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
    if not path:
        return
    try:
        status = os.stat(path)
    except OSError:
        return  # the configuration's own problem
    foreign = status.st_uid not in (ROOT, os.geteuid())
    if foreign or (status.st_mode & 0o022 and reached(path, 0o011)):
        whose = f"belongs to uid {status.st_uid}" if foreign else mode(status)
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


def _open_to_others(where: str, path: str) -> Iterator[Finding]:
    status = os.stat(path)
    if status.st_mode & 0o007 and reached(path, 0o001):
        yield Finding(
            "files",
            f"{where}: {path} {mode(status)}: every user of this host reads it",
            "it is what proves this worker",
            f"chmod o= {path} (Kubernetes: defaultMode: 0440 and fsGroup)",
        )


def reached(path: str, others: int) -> bool:
    """
    Say whether the folders on the way to a file let others through.

    :param others: the bits of a mode of which each folder must have one
    """
    return all(folder.stat().st_mode & others for folder in Path(path).resolve().parents)


def mode(status: os.stat_result) -> str:
    """Say which mode a file has."""
    return f"has mode {stat.S_IMODE(status.st_mode):04o}"
