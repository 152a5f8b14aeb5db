"""Secrets made to be leaked, one for each place, computed so that they stand in no file."""

from __future__ import annotations

from hashlib import sha256

SINKS = (
    "metadata rendered",
    "metadata variable",
    "metadata connection",
    "metadata xcom",
    "metadata import error",
    "metadata trigger",
    "metadata waiting",
    "logs",
    "home",
    "tmp",
    "shm",
    "environ",
    "cmdline",
    "lineage",
    "statsd",
)


def canary(sink: str) -> str:
    """Make the secret of a place; it has characters that every encoding writes differently."""
    return f'ca/nary+{sha256(sink.encode()).hexdigest()[:24]}="'


def plain(sink: str) -> str:
    """Make a secret of letters and digits, for places that allow nothing else."""
    return f"canary{sha256(sink.encode()).hexdigest()[:24]}"
