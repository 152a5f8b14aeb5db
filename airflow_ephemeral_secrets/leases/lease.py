"""A lease, its key, and how fresh it is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import sha256
from random import Random
from typing import Any, Literal, NewType

import msgspec
from msgspec import Struct

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import AnyCredential, Credential
from airflow_ephemeral_secrets.errors import SourceFailed

Freshness = Literal["fresh", "advisory", "mandatory", "expired"]
LeaseKey = NewType("LeaseKey", str)
"""64 hex digits: the SHA-256 of the canonical facts of a request."""

JITTER = 0.1
LONGEST_LIFE = 7 * 24 * 3600.0
MANDATORY = 60.0


def lease_id(credential: Credential) -> str | None:
    """Name a credential that ends by itself: it is long and random, so that its hash tells nothing; else None."""
    if credential.expires_at is None:
        return None
    return sha256(msgspec.json.encode(credential)).hexdigest()[:12]


def lease_key(facts: Mapping[str, Any]) -> LeaseKey:
    """
    Name a request for a credential.

    :param facts: complete, named and free of secrets: two requests that differ in any fact never share a lease
    """
    return LeaseKey(sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest())


class Lease(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A credential we hold.

    Offsets are seconds since issue, so that both clocks can judge them.

    :param lease_id: joins audit lines about one credential and tells nothing about it
    :param issued_wall: epoch seconds (UTC) just before the source was asked
    :param issued_boot: the boot clock at the same moment
    :param advisory: from here on one process tries to refresh while all others go on
    :param mandatory: from here on everyone waits for one attempt
    :param life: from here on it is never served
    :param shared: whether it may leave this process: only what ends by itself may
    """

    lease_id: str
    credential: AnyCredential
    issued_wall: float
    issued_boot: float
    advisory: float
    mandatory: float
    life: float
    shared: bool = True

    @property
    def expires_at(self) -> float:
        """Epoch seconds (UTC) by the wall clock of its issue."""
        return self.issued_wall + self.life

    def age(self, now: Instant) -> float:
        """Seconds since issue, by the clock that makes it older; infinite for a lease of another boot."""
        awake = now.boot - self.issued_boot
        return max(now.wall - self.issued_wall, awake) if awake >= 0 else float("inf")

    def freshness(self, now: Instant) -> Freshness:
        """Say whether to use it, refresh it, wait for a refresh, or never use it again."""
        age = self.age(now)
        if age >= self.life:
            return "expired"
        if age >= self.mandatory:
            return "mandatory"
        return "advisory" if age >= self.advisory else "fresh"


def window(life: float) -> float:
    """
    Seconds before expiry at which to start refreshing a credential that lives ``life`` seconds.

    The steps are those of the AWS SDKs of 2026; never more than half the life, or a short credential would be
    refreshed at each use.
    """
    step = 300.0 if life <= 1200 else 900.0 if life <= 5400 else 3600.0
    return min(step, life / 2)


def issue(credential: Credential, *, asked: Instant, hold: float, random: Random) -> Lease:
    """
    Make a lease of a new credential.

    :param asked: the moment before the source was asked: expiry is counted from there
    :param hold: seconds to hold a credential that does not end by itself
    :param random: draws the refresh jitter, once
    :raises SourceFailed: when the credential is already dead, or claims to live for over seven days
    """
    ends = credential.expires_at
    life = hold if ends is None else ends - asked.wall
    if not 0 < life <= LONGEST_LIFE:
        raise SourceFailed(
            f"the credential's lifetime is {life:.0f} s, outside of 0 s to 7 days",
            code="bad_lifetime",
            hint="compare this host's clock with the provider's",
        )
    mandatory = min(MANDATORY, life / 3)
    advisory = max(mandatory, window(life) * random.uniform(1 - JITTER, 1.0))
    return Lease(
        lease_id=lease_id(credential) or secrets.token_hex(6),
        credential=credential,  # type: ignore[arg-type]  # the union of all kinds, which the base class is not
        issued_wall=asked.wall,
        issued_boot=asked.boot,
        advisory=life - advisory,
        mandatory=life - mandatory,
        life=life,
        shared=ends is not None,
    )
