"""Who gets which lease while one is replaced."""

from __future__ import annotations

import threading

import pytest

from airflow_ephemeral_secrets.live.supply import Supply
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.resolving import CALLER, recipe, resolver

PATIENCE = 10.0


def test_nobody_tries_again_before_the_old_lease_is_gone(
    source: FakeSource, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that met the same dead lease, the second does not fetch it again while the first takes it back."""
    made = resolver(source=source, clock=clock)
    supply, order = Supply(made, recipe(source), "api", CALLER), []
    lease = supply.lease()
    entered, go_on, invalidate = threading.Event(), threading.Event(), made.invalidate

    def slow(lease_id: str) -> bool:
        entered.set()
        assert go_on.wait(PATIENCE)
        order.append("gone")
        return invalidate(lease_id)

    monkeypatch.setattr(made, "invalidate", slow)
    first = threading.Thread(target=lambda: supply.renew(lease, dead=True))
    second = threading.Thread(target=lambda: order.append("again" if supply.renew(lease, dead=True) else "no"))
    first.start()
    assert entered.wait(PATIENCE)
    second.start()
    second.join(0.2)
    go_on.set()
    for thread in (first, second):
        thread.join(PATIENCE)

    assert order == ["gone", "again"]
    assert supply.lease().lease_id != lease.lease_id


def test_late_complaint_takes_nothing_back(source: FakeSource, clock: FakeClock) -> None:
    """Who comes late with a lease that was replaced meanwhile is told to try again with that one, which stays."""
    made = resolver(source=source, clock=clock)
    supply = Supply(made, recipe(source), "api", CALLER)
    old = supply.lease()
    assert supply.renew(old, dead=True)
    new = supply.lease()
    supply.worked(new)

    assert supply.renew(old, dead=True)
    assert supply.lease() == new
    assert len(source.minted) == 2
