"""Where a face gets its credential: the lease of the lookup that opened it, renewed as it ages."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.masking import Masks, forms
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver

SETTLED = 10.0
"""Seconds after which a credential that its target rejects may have been revoked; a younger one never worked."""


class Supply:
    """
    Give the lease behind a recipe to whoever asks for the caller.

    :param name: the conn_id of the lookup
    :param caller: who made it, and whom every mint names
    """

    def __init__(self, resolver: Resolver, recipe: Recipe, name: str, caller: Caller) -> None:
        self._resolver = resolver
        self._recipe = recipe
        self._name = name
        self._caller = caller

    def lease(self) -> Lease:
        """
        Give a living lease.

        :raises EphemeralSecretsError: when there is none
        """
        return self._resolver.lease(self._recipe, self._name, self._caller, self._resolver.deadline()).lease

    def renew(self, lease: Lease, *, dead: bool) -> bool:
        """
        Forget a lease that its target rejects, unless it is so young that another would fare no better.

        :param dead: whether the target said that it has expired or is not known, rather than just no
        :return: whether to try again
        """
        if not dead and lease.age(self._resolver.clock.now()) < SETTLED:
            return False
        self._resolver.invalidate(lease.lease_id)
        return True


class HandedOut(Supply):
    """
    Give leases whose secrets reach the task, and so are masked before.

    :param mask: keeps them out of its log
    """

    def __init__(
        self, resolver: Resolver, recipe: Recipe, name: str, caller: Caller, mask: Callable[[Masks], None]
    ) -> None:
        super().__init__(resolver, recipe, name, caller)
        self._mask = mask
        self._masked = ""

    def lease(self) -> Lease:
        lease = super().lease()
        if lease.lease_id != self._masked:
            self._mask(Masks(forms(lease.credential.secrets()), until=lease.issued_boot + lease.life))
            self._masked = lease.lease_id
        return lease
