"""What a place for leases must do."""

from __future__ import annotations

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

    def flight(self, key: LeaseKey) -> AbstractContextManager[bool]:
        """
        Try to become the one who mints for a key: a context whose value says whether we are; never waits.

        :raises StoreError: when it cannot say
        """
