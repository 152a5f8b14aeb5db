"""What happened to every request: one JSON line each, to a logger and to a file. It never sees a secret field."""

from __future__ import annotations

import logging
import os
import socket
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import msgspec

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Clock, Instant
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, MintError
from airflow_ephemeral_secrets.leases.cache import Held
from airflow_ephemeral_secrets.leases.lease import Lease, lease_id
from airflow_ephemeral_secrets.recipe import Recipe

log = logging.getLogger("airflow_ephemeral_secrets.audit")
_encode = msgspec.json.Encoder(order="deterministic").encode


class AuditEvent:
    """
    One lookup, on its way to a line.

    :param caller: who asks
    :param name: the conn_id or variable asked for
    :param recipe: what owns it
    """

    def __init__(self, caller: Caller, name: str, recipe: Recipe) -> None:
        self.caller = caller
        self.name = name
        self.recipe = recipe
        self.held: Held | None = None

    def granted(self, held: Held) -> None:
        """Note which lease answered."""
        self.held = held

    def facts(self) -> dict[str, Any]:
        """List what is known before anything is decided."""
        return {
            "conn_id": self.name,
            "recipe": self.recipe.pattern,
            "source": self.recipe.source_name,
            "kind": self.recipe.source.kind,
            "caller": self.caller,
        }


class Audit:
    """
    Write events.

    Mints, refusals and failures are logged at INFO, lookups that a cache answered at DEBUG. A file that cannot be
    written costs its lines and one warning, never a lookup.

    :param clock: dates and times events
    :param path: the file, created 0600
    """

    def __init__(self, clock: Clock, path: str | None) -> None:
        self._clock = clock
        self._path = path
        self._mutex = threading.Lock()
        self._warned = False

    @contextmanager
    def request(self, caller: Caller, name: str, recipe: Recipe) -> Iterator[AuditEvent]:
        """Audit one lookup: what is granted inside, or the error that leaves it."""
        event = AuditEvent(caller, name, recipe)
        start = self._clock.now()
        try:
            yield event
        except EphemeralSecretsError as error:
            outcome = "deny" if isinstance(error, AccessDenied) else "fail"
            self._write("lookup", event, start, {"outcome": outcome, **_reasons(error)}, logging.INFO)
            raise
        if event.held and self._heard(logging.DEBUG):
            told = {"outcome": "grant", "from": event.held.origin, **_lease(event.held.lease)}
            self._write("lookup", event, start, told, logging.DEBUG)

    @contextmanager
    def mint(self, event: AuditEvent, start: Instant) -> Iterator[list[Credential]]:
        """Audit one question to a source; the block puts the credential it got into the list."""
        got: list[Credential] = []
        try:
            yield got
        except EphemeralSecretsError as error:
            self._write("mint", event, start, {"outcome": "fail", **_reasons(error)}, logging.INFO)
            raise
        told = {"outcome": "grant", "issued_at": _time(start.wall), **_credential(got[0]), "lease_id": lease_id(got[0])}
        self._write("mint", event, start, told, logging.INFO)

    def invalidated(self, lease_ids: Iterable[str]) -> None:
        """Note what was forgotten before its end."""
        for gone in lease_ids:
            wall = self._clock.now().wall
            self._line({"time": _time(wall), "event": "invalidation", "lease_id": gone, **_here()}, logging.INFO)

    def _heard(self, level: int) -> bool:
        return self._path is not None or log.isEnabledFor(level)

    def _write(self, kind: str, event: AuditEvent, start: Instant, told: dict[str, Any], level: int) -> None:
        if not self._heard(level):
            return
        now = self._clock.now()
        took = round((now.boot - start.boot) * 1000, 3)
        self._line(
            {"time": _time(now.wall), "event": kind, **event.facts(), **told, "duration_ms": took, **_here()}, level
        )

    def _line(self, facts: dict[str, Any], level: int) -> None:
        line = _encode(facts)
        log.log(level, "%s", line.decode())
        if self._path:
            self._append(line + b"\n")

    def _append(self, line: bytes) -> None:
        """Append one whole line by one write, which the kernel does not mix with others."""
        assert self._path
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError("not a regular file")
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            with self._mutex:
                warn, self._warned = not self._warned, True
            if warn:
                reason = os.strerror(error.errno).lower() if error.errno else error
                logging.getLogger(__name__).warning("audit file %s: %s; its lines are lost", self._path, reason)


def _here() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _time(wall: float) -> str:
    return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lease(lease: Lease) -> dict[str, Any]:
    return {
        "lease_id": lease.lease_id,
        "issued_at": _time(lease.issued_wall),
        **_credential(lease.credential),
        "expires_at": _time(lease.expires_at),
    }


def _credential(credential: Credential) -> dict[str, Any]:
    told: dict[str, Any] = {"principal": credential.principal, "request_id": credential.request_id}
    if credential.expires_at is not None:
        told["expires_at"] = _time(credential.expires_at)
    if isinstance(credential, AwsCredential):
        told["access_key_id"] = credential.access_key_id
    return told


def _reasons(error: EphemeralSecretsError) -> dict[str, Any]:
    return {
        "code": error.code,
        "reason": str(error),
        "request_id": error.request_id if isinstance(error, MintError) else None,
    }
