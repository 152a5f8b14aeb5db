"""Ask a source as a lookup does: on this host's clocks, under one deadline, its answer made into a lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.leases.cache import within
from airflow_ephemeral_secrets.leases.lease import Lease, issue
from airflow_ephemeral_secrets.reading import Problems, SecretName, struct
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from airflow_ephemeral_secrets.sources.base import Minting, Network, SecretReference, Source
from airflow_ephemeral_secrets.testing import minting

ROLE = "arn:aws:iam::111122223333:role/reader"
SECONDS = 10.0


def given(
    source: Source,
    *,
    caller: Caller | None = None,
    network: Network | None = None,
    secret: Callable[[SecretName], str] | None = None,
    seconds: float = SECONDS,
) -> Minting:
    """Make what a source is given, in real time."""
    clock = SystemClock()
    made = minting(source, caller=caller, asked=clock.now(), network=network, secret=secret)
    return msgspec.structs.replace(made, deadline=Deadline(clock, seconds))


def ask(source: Source, **facts: Any) -> Lease:
    """
    Mint.

    :param facts: of :func:`given`
    """
    minting = given(source, **facts)
    credential = within(minting.deadline, lambda: source.mint(minting))
    return issue(credential, asked=minting.asked, hold=source.hold, random=Random(0))


def failure(source: Source, **facts: Any) -> MintError:
    """Mint in vain; give the error."""
    with pytest.raises(MintError) as caught:
        ask(source, **facts)
    return caught.value


def read(reference: SecretReference, *, seconds: float = SECONDS) -> str:
    """Read a secret, as a lookup does."""
    deadline = Deadline(SystemClock(), seconds)
    return within(deadline, lambda: reference.read(Network(), deadline))


def problems(**fields: Any) -> Problems:
    """List what the configuration says about an ``aws_assume_role`` source with these fields."""
    found = Problems()
    source = struct(AwsAssumeRole, {"role_arn": ROLE, "region": "eu-west-1", **fields}, "source", found)
    if source is not None:
        found += source.problems()
    return found


def assume(endpoint_url: str, **fields: Any) -> AwsAssumeRole:
    """Configure an ``aws_assume_role`` source that asks a local server."""
    return AwsAssumeRole(**{"role_arn": ROLE, "region": "eu-west-1", "endpoint_url": endpoint_url, **fields})


def story(error: BaseException) -> str:
    """Write down all that an error and those behind it could tell a log, a debugger or an error tracker."""
    return "\n".join(f"{one} {one!r} {one.args!r} {vars(one)!r}" for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        yield from _chain(error.__context__)
