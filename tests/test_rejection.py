"""Which leases a rejected request was made with, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets import installation
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.supply import SETTLED
from airflow_ephemeral_secrets.rejection import leases_of, reject
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import CAPABILITY
from airflow_ephemeral_secrets.testing import FakeClock
from tests.resolving import CALLER, resolver


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, clock: FakeClock, tmp_path: Path) -> Resolver:
    """A resolver of this process that has been asked for one token."""
    asked = resolver(clock=clock, audit=tmp_path / "audit")
    asked.connection("api", CALLER)
    monkeypatch.setattr("airflow_ephemeral_secrets.rejection.resolvers", lambda: [asked])
    return asked


def lease(asked: Resolver) -> Lease:
    ((_, found),) = asked.leases.memory.leases()
    return found


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Authorization": "Bearer {token}"}, True),
        ({"X-Api-Key": "{token}"}, True),
        ({"Authorization": "Bearer another"}, False),
        ({CAPABILITY: "of a live connection"}, True),
        ({CAPABILITY.lower(): "of a live connection", "Accept": "*/*"}, True),
        ({}, True),
    ],
)
def test_leases_of(asked: Resolver, headers: dict[str, str], found: bool) -> None:
    """A lease is found by its secret in a header; behind a live or unknown request may be any of them."""
    (token,) = lease(asked).credential.secrets()
    carried = {name: value.replace("{token}", token) for name, value in headers.items()}
    assert leases_of(carried) == ((lease(asked).lease_id,) if found else ())


def test_settled_lease_is_forgotten(asked: Resolver, clock: FakeClock, tmp_path: Path) -> None:
    """A lease that had worked is forgotten, the audit trail says so, and the next lookup mints."""
    gone = lease(asked).lease_id
    clock.advance(SETTLED)
    assert reject([gone]) == ((gone,), (), False)
    assert asked.leases.leases() == {}
    last: dict[str, Any] = json.loads((tmp_path / "audit").read_text().splitlines()[-1])
    assert (last["event"], last["lease_id"]) == ("invalidation", gone)


def test_young_lease_is_kept(asked: Resolver, clock: FakeClock) -> None:
    """A lease so young that it never worked is kept: another one would not work either."""
    clock.advance(SETTLED - 1)
    assert reject([lease(asked).lease_id]) == ((), (lease(asked).lease_id,), False)


def test_unknown_lease(asked: Resolver) -> None:
    """A lease that this process does not hold is nobody's business here."""
    assert reject(["0" * 12]) == ((), (), False)
    assert len(asked.leases.leases()) == 1


def test_ended_lease(asked: Resolver, clock: FakeClock) -> None:
    """A lease that ended while its task worked on is remembered as such, though it is held no more."""
    clock.advance(901)
    assert reject([]).ended


def test_resolvers_of_this_process(tmp_path: Path) -> None:
    """Those that have resolved something, and no others."""
    fresh = installation.Installation({"config": {"version": 1}}, str(tmp_path), lambda: None)
    assert fresh.resolving is None
    assert fresh.resolving is not fresh.resolver()
    assert fresh.resolving is fresh.resolver()
