"""The host store."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.errors import StoreError
from airflow_ephemeral_secrets.installation import Installation


def store(found: Installation) -> Iterator[Finding]:
    """Open the host store."""
    try:
        opened = found.open_store()
    except StoreError as error:
        yield Finding(
            "store", str(error), "each process then mints for itself", error.hint or "store.host: a directory on tmpfs"
        )
    else:
        if opened:
            opened.close()
