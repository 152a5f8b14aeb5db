"""Where a face gets its credential: the lease of the lookup that opened it, renewed as it ages."""

from __future__ import annotations

import threading

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver

SETTLED = 10.0
"""Seconds after which a credential that its target rejects may have been revoked; a younger one never worked."""
REST = 60.0
"""Seconds before another is minted for a target that has rejected a new one."""


class Supply:
    """
    Give the lease behind a recipe to whoever asks for the caller.

    What is minted, denied or fails leaves audit lines that name the caller, and so does each lease that is given for
    the first time; a request that is served by the same lease as the one before leaves none.

    :param name: the conn_id of the lookup
    :param caller: who made it, and whom every mint names
    """

    def __init__(self, resolver: Resolver, recipe: Recipe, name: str, caller: Caller) -> None:
        self._resolver = resolver
        self._recipe = recipe
        self._name = name
        self._caller = caller
        self._key = recipe.lease_key(caller, recipe.facts(caller))
        self._mutex = threading.Lock()
        self._given: str | None = None
        self._rejected: str | None = None
        self._in_vain: str | None = None
        self._renewed = float("-inf")

    def lease(self) -> Lease:
        """
        Give a living lease.

        :raises EphemeralSecretsError: when there is none
        """
        resolver, given = self._resolver, self._given
        lease = resolver.leases.fresh(self._key)
        if lease is None or lease.lease_id != given:
            lease = resolver.lease(self._recipe, self._name, self._caller, resolver.deadline(), known=given).lease
        if lease.lease_id != given:
            resolver.mask(lease)
            self._given = lease.lease_id
        return lease

    def renew(self, lease: Lease, *, dead: bool) -> bool:
        """
        Forget a lease that its target rejects, unless another would fare no better.

        That is so for one that is too young to have been revoked, and for one that was minted for the same reason.

        :param dead: whether the target said that it has expired or is not known, rather than just no
        :return: whether to try again
        """
        now = self._resolver.clock.now()
        with self._mutex:
            resting = now.boot - self._renewed < REST
            if lease.lease_id != self._given or (resting and lease.lease_id == self._rejected):
                return True
            if resting or (not dead and lease.age(now) < min(SETTLED, lease.life / 3)):
                return False
            self._rejected, self._renewed = lease.lease_id, now.boot
            self._resolver.invalidate(lease.lease_id)
        return True

    def worked(self, lease: Lease) -> None:
        """Note that the target took a lease, so that the next one it rejects is worth another."""
        if lease.lease_id not in (self._rejected, self._in_vain):
            self._renewed = float("-inf")

    def minted_in_vain(self, lease: Lease) -> None:
        """Note that the target rejected a lease like the one before: whatever else it takes it for, no other helps."""
        self._in_vain = lease.lease_id
