"""What the page is told: leases without their secrets, and lines of the audit."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from airflow_ephemeral_secrets import _airflow, _settings, timeline
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK
from airflow_ephemeral_secrets.errors import ConfigError, EphemeralSecretsError
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.timeline import Line, Wanted

DAY = 24.0
HOUR = 3600.0
LONGEST_WINDOW = 31 * DAY
LONGEST_TEXT = 2_000
MOST_LINES = 500
OPTION = ("ephemeral_secrets", "audit_files")
"""Where the API server finds the workers' audit files, if not where the configuration has a worker write them."""

_one_reader = threading.Lock()


class Asked(Wanted, frozen=True, kw_only=True):
    """
    Which lines the page wants.

    :param may_read: whether the lines of a Dag may be shown to whoever asks
    """

    map_index: int | None = None
    may_read: Callable[[str | None], bool]

    def admits(self, line: Line) -> bool:
        return (
            super().admits(line)
            and self.map_index in (None, line.caller.map_index)
            and self.may_read(line.caller.dag_id)
        )


def since(hours: float | None, *, narrow: bool) -> float | None:
    """
    Say from when on lines are wanted, in epoch seconds; None for all.

    :param hours: back from now
    :param narrow: whether what is asked for is found quickly in any amount of lines
    """
    if hours is None and narrow:
        return None
    return SYSTEM_CLOCK.now().wall - (hours or DAY) * HOUR


def leases() -> dict[str, Any]:
    """
    Tell what the store of this host holds, the soonest to end first.

    A principal may name a Dag and its run, so whom a lease acts as is told by its lines in :func:`events` alone.
    """
    about: dict[str, Any] = {"host": socket.gethostname(), "user": _settings.user(), "now": SYSTEM_CLOCK.now().wall}
    try:
        store = _installation().open_store()
        if store is None:
            return {**about, "store": None, "leases": [], "problem": "The configuration switches the host store off."}
        try:
            found = sorted((lease for _, lease in store.leases()), key=lambda lease: lease.expires_at)
            return {**about, "store": store.root, "leases": [_lease(lease) for lease in found], "problem": None}
        finally:
            store.close()
    except EphemeralSecretsError as error:
        return {**about, "store": None, "leases": [], "problem": str(error)}


def events(asked: Asked, limit: int) -> dict[str, Any]:
    """Tell what the audit has, the newest first; one reader at a time, for a file may have gigabytes."""
    place = None
    try:
        place = audit_files()
        with _one_reader:
            paths = timeline.files(place) if place else []
            found = timeline.read(paths, asked, limit)
    except ConfigError as error:
        return {"files": place, "seen": 0, "events": [], "left_out": 0, "problem": str(error)}
    except OSError as error:
        reason = f"{error.filename or place}: {os.strerror(error.errno or 0).lower()}"
        return {"files": place, "seen": 0, "events": [], "left_out": 0, "problem": reason}
    lines = [_event(line) for line in reversed(found.lines)]
    return {"files": place, "seen": len(paths), "events": lines, "left_out": found.left_out, "problem": None}


def audit_files() -> str | None:
    """
    Find the audit file that this API server reads, or the directory of them.

    :raises ConfigError: when the configuration cannot be used
    """
    if named := _settings.option(*OPTION):
        return os.path.join(_airflow.home(), named)
    return _installation().resolver(shared=False).config.audit.file


def _installation() -> Installation:
    """
    Open the configuration that a worker would use, as it is now.

    :raises ConfigError: when Airflow's settings name none, or it cannot be used
    """
    setting = _settings.worker()
    if setting is None or not setting.ours:
        raise ConfigError("Airflow's settings", ["they name no EphemeralSecretsBackend on this host"])
    found = Installation(setting.kwargs, _airflow.home(), _airflow.remote_log_conn_id)
    if found.error:
        raise found.error
    return found


def _lease(lease: Lease) -> dict[str, Any]:
    return {
        "lease_id": lease.lease_id,
        "kind": str(lease.credential.__struct_config__.tag),
        "state": lease.freshness(SYSTEM_CLOCK.now()),
        "issued_at": lease.issued_wall,
        "expires_at": lease.expires_at,
    }


def _event(line: Line) -> dict[str, Any]:
    fields = msgspec.structs.asdict(line)
    del fields["raw"], fields["caller"], fields["issued_at"]
    times = {name: value.timestamp() if (value := fields.pop(name)) else None for name in ("time", "expires_at")}
    return {**_cut(fields), **times, "caller": _cut(msgspec.structs.asdict(line.caller))}


def _cut(fields: dict[str, Any]) -> dict[str, Any]:
    """Keep texts short: whoever runs Dags can write into the file."""
    return {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in fields.items()}
