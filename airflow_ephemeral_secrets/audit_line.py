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

LONGEST = 16 * 1024
SHOWN = 500

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

    def tags(self) -> dict[str, str]:
        """List what metrics are told apart by: of each there are as many as the configuration has."""
        return {
            "recipe": self.recipe.pattern,
            "source": self.recipe.source_name,
            "kind": self.recipe.source.kind,
        }

    def facts(self) -> dict[str, Any]:
        """List what is known before anything is decided."""
        return {
            "conn_id": self.name,
            **self.tags(),
            "caller": self.caller,
            "correlation_id": self.caller.correlation_id,
        }

    def stamp(self) -> dict[str, Any]:
        """List what the credential names its caller by, at the provider."""
        stamp = self.recipe.source.stamp(self.caller)
        return {"attribution": self.recipe.source.attribution, "stamp": stamp, "stamp_id": stamp_id(stamp)}


def encoded(facts: Mapping[str, Any]) -> bytes:
    """Write a line of at most 16 KiB: where it would be longer, each text in it is cut, such as a made-up conn_id."""
    line = _encode(facts)
    return line if len(line) <= LONGEST else _encode(_shortened(msgspec.to_builtins(facts)))


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return value[:SHOWN] if isinstance(value, str) else value


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()


def here() -> dict[str, Any]:
    """Say where this is."""
    return {"host": _host(), "pid": os.getpid()}


def moment(wall: float) -> str:
    """Write epoch seconds as UTC, to the millisecond (RFC 3339)."""
    return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_lasting = lru_cache(maxsize=256)(moment)
"""For the times of leases, which many lines tell."""


def of_lease(lease: Lease) -> dict[str, Any]:
    """Say what is held, and until when."""
    return {
        "lease_id": lease.lease_id,
        "issued_at": _lasting(lease.issued_wall),
        **of_credential(lease.credential),
        "expires_at": _lasting(lease.expires_at),
    }


def of_credential(credential: Credential) -> dict[str, Any]:
    """Say whom it acts as and when it ends; for AWS its key id too, since CloudTrail records that."""
    told: dict[str, Any] = {"principal": credential.principal, "request_id": credential.request_id}
    if credential.expires_at is not None:
        told["expires_at"] = _lasting(credential.expires_at)
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
