"""
Scenarios as data: each file of ``scenarios/`` is one story.

Each is told to the memory layer alone and to the host store, and through both to the whole flow from conn_id to
connection.

A new story needs no code. ``rule`` says what it shows, ``lifetime`` is in seconds, ``stores`` names the layers it holds
for, and ``steps`` are, in order:

- ``get`` and ``other_process``: a lookup by the first or the second process; ``answer`` is the token's number, ``new``
  for one not seen before, or the class and code of the error; ``contacted`` says whether the source was asked,
  ``origin`` (optional) where it came from
- ``advance``: ``seconds`` pass on both clocks, awake or suspended
- ``step_wall``: the wall clock is set by ``seconds``
- ``fail``: from here on the source raises ``error`` with ``code``, and ``retry_after`` where given
- ``recover``: from here on it answers again
- ``keep_asking``: a lookup by the first process each ``every`` seconds for ``seconds``, all of which get ``answer``
  while the source is contacted ``contacts`` times at most
- ``invalidate``: the second process takes back the token of number ``token``; ``held`` says whether that did anything
- ``restart``: the first process ends, and another one takes its place
"""

from __future__ import annotations

import json
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct

from airflow_ephemeral_secrets.clock import Duration
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.leases.cache import LeaseCache, Origin
from airflow_ephemeral_secrets.leases.failure import KINDS
from airflow_ephemeral_secrets.sources.base import Minting
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.leases.made import Provider, Start, acquire, value
from tests.resolving import CALLER, resolver

Layer = Literal["memory", "host"]


class Get(Struct, forbid_unknown_fields=True, tag="get", tag_field="do"):
    answer: int | str
    contacted: bool
    origin: Origin | None = None


class OtherProcess(Get, tag="other_process"):
    pass


class Advance(Struct, forbid_unknown_fields=True, tag="advance", tag_field="do"):
    seconds: float


class StepWall(Struct, forbid_unknown_fields=True, tag="step_wall", tag_field="do"):
    seconds: float


class Fail(Struct, forbid_unknown_fields=True, tag="fail", tag_field="do"):
    error: Literal["SourceUnavailable", "SourceRefused", "SourceFailed"]
    code: str
    retry_after: float | None = None


class Recover(Struct, forbid_unknown_fields=True, tag="recover", tag_field="do"):
    pass


class KeepAsking(Struct, forbid_unknown_fields=True, tag="keep_asking", tag_field="do"):
    seconds: float
    every: float
    answer: int | str
    contacts: int


class Invalidate(Struct, forbid_unknown_fields=True, tag="invalidate", tag_field="do"):
    token: int
    held: bool


class Restart(Struct, forbid_unknown_fields=True, tag="restart", tag_field="do"):
    pass


class Scenario(Struct, forbid_unknown_fields=True):
    rule: str
    steps: list[Get | OtherProcess | Advance | StepWall | Fail | Recover | KeepAsking | Invalidate | Restart]
    lifetime: float | None = 900.0
    stores: tuple[Layer, ...] = ("memory", "host")


class Process:
    """A process that looks leases up, as the decision ladder does."""

    def __init__(self, cache: LeaseCache, provider: Provider) -> None:
        self.cache = cache
        self.provider = provider

    def look_up(self) -> tuple[int | str, Origin | None]:
        """Give the token's number, or the error, and where it came from where that is told."""
        held = acquire(self.cache, self.provider)
        return value(held), held.origin

    def invalidate(self, lease_id: str) -> bool:
        return self.cache.invalidate(lease_id)

    def answer(self) -> tuple[int | str, Origin | None]:
        try:
            token, origin = self.look_up()
        except MintError as error:
            return f"{type(error).__name__} {error.code}", None
        return int(str(token).rpartition("token-")[2]), origin

    def ids(self) -> dict[int, str]:
        """Name the leases at hand, by the numbers of their tokens."""
        leases = [lease for lease in self.cache.leases().values() if isinstance(lease.credential, BearerToken)]
        return {int(lease.credential.token.removeprefix("token-")): lease.lease_id for lease in leases}


class ProviderSource(FakeSource, frozen=True, kw_only=True, tag="provider"):
    """Ask a provider of these tests."""

    provider: Any
    ttl: Duration = "5m"

    def mint(self, minting: Minting) -> Credential:
        return self.provider(minting.asked)


class Flow(Process):
    """A process that looks connections up."""

    def __init__(self, cache: LeaseCache, provider: Provider) -> None:
        super().__init__(cache, provider)
        assert isinstance(cache.clock, FakeClock)
        self.resolver = resolver(clock=cache.clock, source=ProviderSource(provider=provider))
        self.resolver.leases = cache

    def look_up(self) -> tuple[int | str, Origin | None]:
        spec = self.resolver.connection("api", CALLER)
        assert spec
        return json.loads(spec.extra or "")["Authorization"], None

    def invalidate(self, lease_id: str) -> bool:
        return self.resolver.invalidate(lease_id) == [lease_id]


FILES = sorted(Path(__file__).with_name("scenarios").glob("*.json"))
SCENARIOS = {file.stem: msgspec.json.decode(file.read_bytes(), type=Scenario) for file in FILES}
CASES = [(name, layer) for name, scenario in SCENARIOS.items() for layer in scenario.stores]


@pytest.mark.parametrize("kind", [Process, Flow], ids=["leases", "flow"])
@pytest.mark.parametrize(("name", "layer"), CASES, ids=[" ".join(case) for case in CASES])
def test_scenario(name: str, layer: Layer, kind: type[Process], clock: FakeClock, request: Any) -> None:
    """Each story ends as it is told."""
    scenario = SCENARIOS[name]
    provider = Provider(scenario.lifetime)
    start: Start = request.getfixturevalue("processes" if layer == "host" else "alone")
    first, second = (kind(start(clock), provider) for _ in range(2))
    ids: dict[int, str] = {}

    for number, step in enumerate(scenario.steps):
        where = f"step {number} of {name}: {scenario.rule}"
        before = len(provider.asked)
        match step:
            case Get():
                got, origin = (second if isinstance(step, OtherProcess) else first).answer()
                contacted = len(provider.asked) > before
                told = origin if kind is Process else step.origin
                wanted = got if step.answer == "new" and isinstance(got, int) and got not in ids else step.answer
                assert (got, contacted, told) == (wanted, step.contacted, step.origin or told), where
            case KeepAsking():
                end = clock.boot + step.seconds
                while clock.boot < end:
                    assert first.answer()[0] == step.answer, where
                    clock.advance(min(step.every, end - clock.boot))
                assert len(provider.asked) - before <= step.contacts, where
            case Advance():
                clock.advance(step.seconds)
            case StepWall():
                clock.step(step.seconds)
            case Fail():
                error = KINDS[step.error]("no", code=step.code, retry_after=step.retry_after)
                provider.errors = repeat(error)
            case Recover():
                provider.errors = iter(())
            case Invalidate():
                assert second.invalidate(ids[step.token]) == step.held, where
            case Restart():
                first = kind(start(clock), provider)
        ids |= first.ids() | second.ids()


def test_there_are_scenarios() -> None:
    """Every word of the language of scenarios is used by one."""
    used = {type(step) for scenario in SCENARIOS.values() for step in scenario.steps}

    assert used == {Get, OtherProcess, Advance, StepWall, Fail, Recover, KeepAsking, Invalidate, Restart}
