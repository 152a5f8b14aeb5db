"""
A credential that its target rejects, seen from outside: by whoever caught the error, and knows no lease.

The leases of this process are those that its task was given. What the rejected request carried tells which one it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from airflow_ephemeral_secrets.credential import BasicCredential
from airflow_ephemeral_secrets.installation import resolvers
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.supply import SETTLED
from airflow_ephemeral_secrets.masking import basic
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import CAPABILITY


class Rejection(NamedTuple):
    """
    What came of it.

    :param forgotten: ids of leases that were forgotten, in all processes of this host
    :param young: ids of leases too young to have ever worked, which are kept
    :param ended: whether a lease of this process has meanwhile ended by itself
    """

    forgotten: tuple[str, ...]
    young: tuple[str, ...]
    ended: bool


def reject(lease_ids: Collection[str]) -> Rejection:
    """Forget leases that a target rejects, unless they are so young that others would fare no better."""
    forgotten: list[str] = []
    young: list[str] = []
    for resolver, lease in _held():
        if lease.lease_id not in lease_ids:
            continue
        if lease.age(resolver.clock.now()) < SETTLED:
            young.append(lease.lease_id)
        else:
            forgotten += resolver.invalidate(lease.lease_id)
    ended = any(resolver.first_end <= resolver.clock.now().boot for resolver in resolvers())
    return Rejection(tuple(forgotten), tuple(young), ended)


def leases_of(headers: Mapping[str, str | bytes]) -> tuple[str, ...]:
    """
    Name the leases of this process that a request may have been made with.

    :param headers: what the request carried: secrets, or the capability of a live connection, behind which any lease
        of this process may stand; the same holds where nothing is known
    """
    text = "\n".join(map(_text, headers.values()))
    named = [lease.lease_id for _, lease in _held() if any(proof in text for proof in _proofs(lease))]
    unclear = not headers or CAPABILITY.lower() in {_text(name).lower() for name in headers}
    return tuple(named or ([lease.lease_id for _, lease in _held()] if unclear else []))


def _proofs(lease: Lease) -> tuple[str, ...]:
    """List what of a lease a request may carry."""
    credential = lease.credential
    if isinstance(credential, BasicCredential):
        return (basic(credential.username, credential.password), credential.password)
    return credential.secrets()


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _held() -> Iterator[tuple[Resolver, Lease]]:
    for resolver in resolvers():
        for _, lease in resolver.leases.memory.leases():
            yield resolver, lease
