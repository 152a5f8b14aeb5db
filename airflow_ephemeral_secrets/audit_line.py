"""What an audit line tells, and how it is written; it is made of fields that hold no secret."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from airflow_ephemeral_secrets.caller import Caller, stamp_id
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import EphemeralSecretsError, MintError
from airflow_ephemeral_secrets.leases.cache import Held
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.recipe import Recipe

LONGEST = 16 * 1024 - 256
SHOWN = (500, 80)

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
    """
    Write the rest of a line, after its head.

    A line has at most 16 KiB: where it would be longer, each text in it is cut, such as a made-up conn_id.
    """
    line = _encode(facts)
    for shown in SHOWN:
        if len(line) > LONGEST:
            line = _encode(_shortened(msgspec.to_builtins(facts), shown))
    return b"," + line[1:]


class Head(Struct, omit_defaults=True):
    """
    What no other line shares.

    :param time: when it ended
    :param pid: of the process
    :param lines_lost: how many before it were lost
    """

    time: datetime
    pid: int
    duration_ms: float | None = None
    lines_lost: int = 0

    def before(self, rest: bytes) -> bytes:
        """Make it and the rest one line."""
        return _encode(self)[:-1] + rest


def _shortened(value: Any, shown: int) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item, shown) for key, item in value.items()}
    return value[:shown] if isinstance(value, str) else value


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()


def of_invalidation(lease_id: str) -> dict[str, Any]:
    """Say what was forgotten, and where."""
    return {"event": "invalidation", "lease_id": lease_id, "host": _host()}


def moment(wall: float) -> datetime:
    """Give epoch seconds as UTC, which is written as RFC 3339 has it."""
    return datetime.fromtimestamp(wall, timezone.utc)


def of_lease(lease: Lease) -> dict[str, Any]:
    """Say what is held, and until when."""
    return {
        "lease_id": lease.lease_id,
        "issued_at": moment(lease.issued_wall),
        "expires_at": moment(lease.expires_at),
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
