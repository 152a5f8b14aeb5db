"""What an audit line tells, and how it is written; it is made of fields that hold no secret."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import msgspec

from airflow_ephemeral_secrets.caller import Caller, stamp_id
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import EphemeralSecretsError, MintError
from airflow_ephemeral_secrets.leases.cache import Held
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.recipe import Recipe

LONGEST = 16 * 1024 - 256
SHOWN = 500

_encode = msgspec.json.Encoder().encode


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
        self.tags = {"recipe": recipe.pattern, "source": recipe.source_name, "kind": recipe.source.kind}
        """What metrics are told apart by: of each there are as many as the configuration has."""

    def granted(self, held: Held) -> None:
        """Note which lease answered."""
        self.held = held

    def facts(self, kind: str) -> dict[str, Any]:
        """List what is known before anything is decided."""
        return {
            "event": kind,
            "conn_id": self.name,
            **self.tags,
            "caller": self.caller,
            "correlation_id": self.caller.correlation_id,
            "host": _host(),
        }

    def stamp(self) -> dict[str, Any]:
        """List what the credential names its caller by, at the provider."""
        stamp = self.recipe.source.stamp(self.caller)
        return {"attribution": self.recipe.source.attribution, "stamp": stamp, "stamp_id": stamp_id(stamp)}


def encoded(facts: Mapping[str, Any]) -> bytes:
    """Write a line, of at most 16 KiB: where it would be longer, each text in it is cut, such as a made-up conn_id."""
    line = _encode(facts)
    return line if len(line) <= LONGEST else _encode(_shortened(msgspec.to_builtins(facts)))


def headed(wall: float, line: bytes, **more: float) -> bytes:
    """Put before the facts of a line what no other line shares: when it was, and in which process."""
    return _encode({"time": moment(wall), "pid": os.getpid(), **more})[:-1] + b"," + line[1:]


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return value[:SHOWN] if isinstance(value, str) else value


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()


def of_invalidation(lease_id: str) -> dict[str, Any]:
    """Say what was forgotten, and where."""
    return {"event": "invalidation", "lease_id": lease_id, "host": _host()}


@lru_cache(maxsize=1024)
def _second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat()[:19]


def moment(wall: float) -> str:
    """Write epoch seconds as UTC, to the millisecond (RFC 3339)."""
    second, millisecond = divmod(round(wall * 1e6) // 1000, 1000)
    return f"{_second(second)}.{millisecond:03}Z"


_lasting = lru_cache(maxsize=256)(moment)
"""For the times of a lease, which many lines tell."""


def of_lease(lease: Lease) -> dict[str, Any]:
    """Say what is held, and until when."""
    return {
        "lease_id": lease.lease_id,
        "issued_at": _lasting(lease.issued_wall),
        "expires_at": _lasting(lease.expires_at),
        **of_credential(lease.credential),
    }


def of_credential(credential: Credential) -> dict[str, Any]:
    """Say whom it acts as; for AWS its key id too, since CloudTrail records that."""
    told = {"principal": credential.principal, "request_id": credential.request_id}
    if isinstance(credential, AwsCredential):
        told["access_key_id"] = credential.access_key_id
    return told


def of_error(error: Exception) -> dict[str, Any]:
    """Say why not; of an error that is not ours, whose text may hold anything, no more than its type."""
    if not isinstance(error, EphemeralSecretsError):
        return {"code": "unexpected", "reason": f"{type(error).__name__} was raised", "request_id": None}
    return {
        "code": error.code,
        "reason": str(error),
        "request_id": error.request_id if isinstance(error, MintError) else None,
    }
