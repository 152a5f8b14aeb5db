"""What a place for leases must do."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from airflow_ephemeral_secrets.leases.failure import Failure
from airflow_ephemeral_secrets.leases.lease import Lease, LeaseKey


class Store(Protocol):
    """Hold leases and failures by key, and let one asker at a time mint for a key."""

    def get(self, key: LeaseKey) -> Lease | None:
        """Give the lease held for a key; None for anything missing, foreign or unreadable."""

    def put(self, key: LeaseKey, lease: Lease) -> None:
        """
        Hold a lease and forget the key's failure.

        :raises StoreError: when it cannot be held
        """

    def failure(self, key: LeaseKey) -> Failure | None:
        """Give the failure remembered for a key."""

    def fail(self, key: LeaseKey, failure: Failure) -> None:
        """
        Remember a failure.

        :raises StoreError: when it cannot be held
        """

    def recovered(self, key: LeaseKey) -> None:
        """Forget the failure of a key whose lease is held elsewhere."""

    def close(self) -> None:
        """Let go of what this process holds open."""

    def leases(self) -> Iterable[tuple[LeaseKey, Lease]]:
        """List what is held."""

    def discard(self, key: LeaseKey, lease_id: str) -> bool:
        """
        Forget a lease if it is still the one held for its key; everybody who shares the store does.

        :return: whether it was
        """

    def clear(self) -> None:
        """Forget everything; everybody who shares the store does."""

    def epoch(self) -> int:
        """Give a number that changes whenever something was discarded."""

    def flight(self, key: LeaseKey, until: float) -> AbstractContextManager[bool]:
        """
        Try to become the one who mints for a key: a context whose value says whether we are; never waits.

        Whoever is not done by then is overtaken.

        :param until: when we shall be done, by the boot clock
        :raises StoreError: when it cannot say
        """
