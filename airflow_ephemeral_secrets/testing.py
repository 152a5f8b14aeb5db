"""
For tests of this package, and for yours: a clock, a source and the conformance checks.

.. code-block:: python

    def test_my_source_conforms():
        assert_source_conforms(MySource(ttl="15m"), minting=minting(secret=lambda name: "s3cret"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from airflow_ephemeral_secrets.caller import Attribution, Caller
from airflow_ephemeral_secrets.clock import Deadline, Duration, Instant
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape
from airflow_ephemeral_secrets.sources.base import Minting, Network, Source

START = 1_800_000_000.0


class FakeClock:
    """
    Two clocks that move only when told; sleeping moves both.

    :param wall: epoch seconds to start at
    """

    def __init__(self, wall: float = START, boot: float = 1_000.0) -> None:
        self.wall = wall
        self.boot = boot

    def now(self) -> Instant:
        return Instant(self.wall, self.boot)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += seconds
        self.boot += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock, as NTP or a person does."""
        self.wall += seconds


class FakeSource(Source, frozen=True, kw_only=True, tag="fake"):
    """
    Mint numbered tokens, or raise what it is told to.

    :param lives: seconds each token lives
    """

    ttl: Duration = "15m"
    attribution: Attribution = "none"
    lives: float = 900.0
    minted: list[str] = msgspec.field(default_factory=list)
    raises: list[Exception] = msgspec.field(default_factory=list)

    def yields(self) -> type[Credential]:
        return BearerToken

    def facts(self, caller: Caller) -> Mapping[str, Any]:
        return {"ttl": self.ttl}

    def mint(self, minting: Minting) -> Credential:
        if self.raises:
            raise self.raises[0]
        self.minted.append(f"fake-token-{len(self.minted) + 1}")
        return BearerToken(
            token=self.minted[-1], expires_at=minting.asked.wall + self.lives, principal="nobody in particular"
        )


def minting(
    source: Source,
    *,
    caller: Caller | None = None,
    clock: FakeClock | None = None,
    asked: Instant | None = None,
    network: Network | None = None,
    secret: Callable[[SecretName], str] | None = None,
) -> Minting:
    """
    Make what a source is given when it mints.

    :param source: whose fields are filled in for the caller
    :param secret: reads a secret reference; by default every secret is unreadable
    """
    caller = caller or Caller(process="task", dag_id="a_dag", task_id="a_task", run_id="a_run")
    clock = clock or FakeClock()

    def none(name: SecretName) -> str:
        raise KeyError(name.secret)

    return Minting(
        facts=source.facts(caller),
        stamp=source.stamp(caller),
        asked=asked or clock.now(),
        deadline=Deadline(clock, 10),
        network=network or Network(),
        secret=none if secret is None else secret,
    )


def assert_source_conforms(source: Source, given: Minting) -> Credential:
    """
    Check what every source promises, by minting once.

    :return: the credential
    :raises AssertionError: naming the broken promise
    """
    assert source.problems() == [], "its configuration has no problems"
    credential = source.mint(given)
    assert type(credential) is source.yields(), "it mints the kind it announces"
    assert credential.principal, "it names the principal"
    assert credential.secrets(), "it lists its secrets"
    assert all(credential.secrets()), "no secret is empty"
    _shows_nothing(repr(credential), credential.secrets())
    if credential.expires_at is not None:
        assert credential.expires_at > given.asked.wall, "it expires after it was asked for"
    caller = Caller(process="task", dag_id="a_dag", task_id="a_task", run_id="a_run")
    facts = msgspec.json.encode(source.facts(caller), order="deterministic").decode()
    assert facts == msgspec.json.encode(source.facts(caller), order="deterministic").decode(), "facts are stable"
    _shows_nothing(facts, credential.secrets())
    return credential


def assert_shape_conforms(
    shape: Shape, credential: Credential, secret: Callable[[SecretName], str] | None = None
) -> ConnectionSpec:
    """
    Check what every shape promises, by rendering twice.

    :return: the fields
    :raises AssertionError: naming the broken promise
    """
    reader = secret or (lambda name: f"secret of {name.secret}")
    assert shape.problems() == [], "its configuration has no problems"
    assert type(credential) in shape.accepts, "it accepts this credential"
    spec = shape.render(credential, reader)
    assert spec == shape.render(credential, reader), "the same credential makes the same bytes"
    for hidden in credential.secrets():
        assert hidden in spec.secrets, "every secret is listed for masking"
    _shows_nothing(repr(spec), credential.secrets())
    return spec


def _shows_nothing(text: str, secrets: tuple[str, ...]) -> None:
    assert not any(secret in text for secret in secrets), "no secret is shown"
