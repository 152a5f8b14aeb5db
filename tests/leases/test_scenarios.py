"""
Scenarios as data: each file of ``scenarios/`` is one story, told to the memory layer alone and to the host store.

A new story needs no code. ``rule`` says what it shows, ``lifetime`` is in seconds, ``stores`` names the layers it holds
for, and ``steps`` are, in order:

- ``get`` and ``other_process``: a lookup by the first or the second process; ``answer`` is the token's number, or the
  class and code of the error, ``contacted`` whether the source was asked, ``origin`` (optional) where it came from
- ``advance``: ``seconds`` pass on both clocks, awake or suspended
- ``step_wall``: the wall clock is set by ``seconds``
- ``fail``: from here on the source raises ``error`` with ``code``, and ``retry_after`` where given
- ``recover``: from here on it answers again
"""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from msgspec import Struct

from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.leases.cache import LeaseCache, Origin
from airflow_ephemeral_secrets.leases.failure import KINDS
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.made import Provider, acquire, value

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


class Scenario(Struct, forbid_unknown_fields=True):
    rule: str
    steps: list[Get | OtherProcess | Advance | StepWall | Fail | Recover]
    lifetime: float | None = 900.0
    stores: tuple[Layer, ...] = ("memory", "host")


FILES = sorted(Path(__file__).with_name("scenarios").glob("*.json"))
SCENARIOS = {file.stem: msgspec.json.decode(file.read_bytes(), type=Scenario) for file in FILES}
CASES = [(name, layer) for name, scenario in SCENARIOS.items() for layer in scenario.stores]


@pytest.mark.parametrize(("name", "layer"), CASES, ids=[" ".join(case) for case in CASES])
def test_scenario(name: str, layer: Layer, clock: FakeClock, request: pytest.FixtureRequest) -> None:
    """Each story ends as it is told."""
    scenario = SCENARIOS[name]
    provider = Provider(scenario.lifetime)
    start = request.getfixturevalue("processes" if layer == "host" else "alone")
    caches = [start(clock) for _ in range(2)]

    for number, step in enumerate(scenario.steps):
        match step:
            case Get():
                before = len(provider.asked)
                got, origin = look_up(caches[isinstance(step, OtherProcess)], provider)
                contacted = len(provider.asked) > before
                wanted = (step.answer, step.contacted, step.origin or origin)
                assert (got, contacted, origin) == wanted, f"step {number} of {name}: {scenario.rule}"
            case Advance():
                clock.advance(step.seconds)
            case StepWall():
                clock.step(step.seconds)
            case Fail():
                error = KINDS[step.error]("no", code=step.code, retry_after=step.retry_after)
                provider.errors = repeat(error)
            case Recover():
                provider.errors = iter(())


def look_up(cache: LeaseCache, provider: Provider) -> tuple[int | str, Origin | None]:
    try:
        held = acquire(cache, provider)
    except MintError as error:
        return f"{type(error).__name__} {error.code}", None
    return int(value(held).removeprefix("token-")), held.origin


def test_there_are_scenarios() -> None:
    """Every word of the language of scenarios is used by one."""
    used = {type(step) for scenario in SCENARIOS.values() for step in scenario.steps}

    assert used == {Get, OtherProcess, Advance, StepWall, Fail, Recover}
