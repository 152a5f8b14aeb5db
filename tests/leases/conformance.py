"""What every store promises, to be inherited by the tests of each."""

from __future__ import annotations

from random import Random

import pytest

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, Credential
from airflow_ephemeral_secrets.errors import SourceFailed
from airflow_ephemeral_secrets.leases.base import Store
from airflow_ephemeral_secrets.leases.lease import LeaseKey, issue
from tests.leases.made import KEY, OTHER, START, failure, lease, token

CREDENTIALS: list[Credential] = [
    token(),
    token('a "quoted" ü\n token'),
    BasicCredential(username="airflow", password="p", expires_at=START + 900, scope="read", request_id="req-1"),
    AwsCredential(access_key_id="ASIA", secret_access_key="s", session_token="t", expires_at=START + 900.25),
]


class StoreConformance:
    """Give the fixture ``store``, and say what another asker is."""

    def rival(self, store: Store, key: LeaseKey) -> bool:
        """Let another of those whom this store keeps apart try for a flight, and say whether it got it."""
        raise NotImplementedError

    def test_empty(self, store: Store) -> None:
        """A store that was given nothing holds nothing."""
        assert (store.get(KEY), store.failure(KEY)) == (None, None)

    @pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda credential: type(credential).__name__)
    def test_holds(self, store: Store, credential: Credential) -> None:
        """A lease comes back as it was put, whatever kind of credential it is for."""
        one = issue(credential, asked=Instant(START, 1_000.0), hold=0, random=Random(1))

        store.put(KEY, one)

        assert store.get(KEY) == one

    def test_replaces(self, store: Store) -> None:
        """Of two leases for a key the later one is held."""
        store.put(KEY, lease("old"))
        store.put(KEY, lease("new"))

        assert store.get(KEY) == lease("new")

    def test_keys_are_apart(self, store: Store) -> None:
        """What is held for one key says nothing about another."""
        store.put(KEY, lease())
        store.fail(OTHER, failure())

        assert (store.get(OTHER), store.failure(KEY)) == (None, None)

    def test_remembers_a_failure(self, store: Store) -> None:
        """A failure comes back as it was told, the latest one, and takes nothing from the lease that still serves."""
        store.put(KEY, lease())
        store.fail(KEY, failure(SourceFailed("first")))
        store.fail(KEY, failure(SourceFailed("second")))

        assert store.failure(KEY) == failure(SourceFailed("second"))
        assert store.get(KEY) == lease()

    def test_lease_ends_the_failure(self, store: Store) -> None:
        """A new lease makes a store forget the failure of its key, and of no other."""
        for key in (KEY, OTHER):
            store.fail(key, failure())

        store.put(KEY, lease())

        assert (store.failure(KEY), store.failure(OTHER)) == (None, failure())

    def test_recovery_ends_the_failure(self, store: Store) -> None:
        """A key that recovered elsewhere has no failure any more, its lease stays, and no other key is touched."""
        store.put(KEY, lease())
        for key in (KEY, OTHER):
            store.fail(key, failure())

        store.recovered(KEY)
        store.recovered(KEY)

        assert (store.failure(KEY), store.failure(OTHER)) == (None, failure())
        assert store.get(KEY) == lease()

    def test_one_flight_at_a_time(self, store: Store) -> None:
        """While one asker flies for a key, no other does, and it is told so at once."""
        with store.flight(KEY) as mine:
            assert mine
            assert not self.rival(store, KEY)

    def test_other_keys_fly(self, store: Store) -> None:
        """A flight for one key holds up no other."""
        with store.flight(KEY), store.flight(OTHER) as mine:
            assert mine
        with store.flight(KEY):
            assert self.rival(store, OTHER)

    def test_flight_ends(self, store: Store) -> None:
        """After a flight, also one that ended in an error, the next asker may fly."""
        with pytest.raises(SourceFailed, match=r"^lost$"), store.flight(KEY):
            raise SourceFailed("lost")

        assert self.rival(store, KEY)

    def test_follower_does_not_end_the_flight(self, store: Store) -> None:
        """One who was turned away leaves the leader's flight as it was."""
        with store.flight(KEY):
            self.rival(store, KEY)
            assert not self.rival(store, KEY)
