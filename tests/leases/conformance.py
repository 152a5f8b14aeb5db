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
from tests.leases.worker import UNTIL

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

    def test_lists(self, store: Store) -> None:
        """Every lease is listed under its key, and nothing else is: no failure, and nothing where there is nothing."""
        assert list(store.leases()) == []
        store.put(KEY, lease("one"))
        store.put(OTHER, lease("two"))
        store.fail(KEY, failure())

        assert dict(store.leases()) == {KEY: lease("one"), OTHER: lease("two")}

    def test_discards(self, store: Store) -> None:
        """A lease is forgotten by its key and id, once, and no other lease is."""
        for key in (KEY, OTHER):
            store.put(key, lease())

        assert [store.discard(KEY, lease().lease_id) for _ in range(2)] == [True, False]
        assert (store.get(KEY), store.get(OTHER)) == (None, lease())

    def test_newer_lease_outlives_a_discard(self, store: Store) -> None:
        """A lease that has taken the place of the one to be forgotten stays."""
        store.put(KEY, lease("old"))
        store.put(KEY, lease("new"))

        assert not store.discard(KEY, lease("old").lease_id)
        assert store.get(KEY) == lease("new")

    def test_discards_during_a_flight(self, store: Store) -> None:
        """A lease is forgotten also while another is minted for its key: the mint may fail."""
        store.put(KEY, lease())

        with store.flight(KEY, UNTIL):
            assert store.discard(KEY, lease().lease_id)
            assert store.get(KEY) is None
            assert not self.rival(store, KEY), "the one who mints goes on"

    def test_clears(self, store: Store) -> None:
        """A cleared store holds nothing, and holds again what it is given."""
        for key in (KEY, OTHER):
            store.put(key, lease())
            store.fail(key, failure())

        store.clear()

        assert [(store.get(key), store.failure(key)) for key in (KEY, OTHER)] == [(None, None)] * 2
        store.put(KEY, lease())
        assert store.get(KEY) == lease()

    def test_clears_during_a_flight(self, store: Store) -> None:
        """Clearing a store ends nobody's flight."""
        with store.flight(KEY, UNTIL):
            store.clear()
            assert not self.rival(store, KEY)

    def test_epoch_stays(self, store: Store) -> None:
        """The epoch says nothing of what is put, read, or flown for."""
        before = store.epoch()

        store.put(KEY, lease())
        store.fail(OTHER, failure())
        store.recovered(OTHER)
        store.get(KEY)
        with store.flight(KEY, UNTIL):
            pass

        assert store.epoch() == before

    def test_one_flight_at_a_time(self, store: Store) -> None:
        """While one asker flies for a key, no other does, and it is told so at once."""
        with store.flight(KEY, UNTIL) as mine:
            assert mine
            assert not self.rival(store, KEY)

    def test_other_keys_fly(self, store: Store) -> None:
        """A flight for one key holds up no other."""
        with store.flight(KEY, UNTIL), store.flight(OTHER, UNTIL) as mine:
            assert mine
        with store.flight(KEY, UNTIL):
            assert self.rival(store, OTHER)

    def test_flight_ends(self, store: Store) -> None:
        """After a flight, also one that ended in an error, the next asker may fly."""
        with pytest.raises(SourceFailed, match=r"^lost$"), store.flight(KEY, UNTIL):
            raise SourceFailed("lost")

        assert self.rival(store, KEY)

    def test_follower_does_not_end_the_flight(self, store: Store) -> None:
        """One who was turned away leaves the leader's flight as it was."""
        with store.flight(KEY, UNTIL):
            self.rival(store, KEY)
            assert not self.rival(store, KEY)
