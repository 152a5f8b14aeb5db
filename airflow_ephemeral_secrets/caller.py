"""Who asks for a credential, as far as this process can tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from airflow_ephemeral_secrets.errors import AccessDenied

Process = Literal["task", "trigger", "callback", "parse", "script", "server"]
Attribution = Literal["none", "dag", "run", "task"]

STAMPED: dict[str, tuple[str, ...]] = {
    "none": (),
    "dag": ("dag_id",),
    "run": ("dag_id", "run_id"),
    "task": ("dag_id", "run_id", "task_id"),
}
"""Facts that each attribution puts into the provider's audit log, and so into the lease key."""

FACTS = ("dag_id", "task_id", "run_id", "team")
"""Facts that may stand in braces in a source's fields."""

TOLD = (*FACTS, "run_type", "owner")
"""Facts that the command line takes on behalf of a caller."""

GIVES = {"team": "[core] multi_team, and a team for the Dag's bundle"}
"""What gives a caller a fact that being a task does not."""

Template = Annotated[
    str,
    Meta(
        pattern=r"^([^{}\n]|\{(dag_id|task_id|run_id|team)\})*(?!\n)$",
        max_length=4096,
        description="text in which {dag_id} {task_id} {run_id} {team} may stand",
    ),
]

RUN_TYPES = ("scheduled", "manual", "backfill", "asset_triggered", "asset_materialization", "operator_triggered")
"""What Airflow calls the ways a Dag run comes to be; its run ids begin with them."""

_PLACEHOLDER = re.compile(r"\{(dag_id|task_id|run_id|team)\}")
_SAFE = re.compile(r"[A-Za-z0-9_+=,.@:-]{1,250}")


class Caller(Struct, frozen=True, kw_only=True):
    """
    Who asks.

    In a worker every fact is claimed by code the Dag author controls; ``proven`` names those that are not.

    :param process: what kind of process asks
    :param team: the team Airflow names
    :param run_type: one of ``RUN_TYPES``, by the Dag run or else by how its id begins
    :param owner: of the task; several are separated by commas
    :param proven: names of the facts that Airflow itself vouches for
    """

    process: Process = "script"
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    try_number: int | None = None
    map_index: int | None = None
    team: str | None = None
    run_type: str | None = None
    owner: str | None = None
    proven: tuple[str, ...] = ()

    def fact(self, name: str) -> str:
        """
        Give one fact for use in a request.

        :param name: one of ``FACTS``
        :raises AccessDenied: when the caller lacks it, or it holds characters that could change the request
        """
        value: str | None = getattr(self, name)
        if value is None:
            raise AccessDenied(
                f"the recipe needs {{{name}}}, which a caller in a {self.process} process does not have here",
                code="caller_fact_missing",
                hint=f"{GIVES.get(name, 'asking from inside a task')}, or taking {{{name}}} out of the recipe",
            )
        if not _SAFE.fullmatch(value):
            raise AccessDenied(
                f"the caller's {name} holds characters that are not allowed in {{{name}}}",
                code="caller_fact_unsafe",
                hint="letters, digits and _+=,.@:- are allowed",
            )
        return value

    def fill(self, template: str) -> str:
        """
        Replace the placeholders of a template by the caller's facts.

        :raises AccessDenied: as :meth:`fact`
        """
        if "{" not in template:
            return template
        return _PLACEHOLDER.sub(lambda match: self.fact(match[1]), template)

    @property
    def correlation_id(self) -> str | None:
        """
        Name this try of this task in 32 hex digits, fit for a W3C trace id; None without a Dag, run and task.

        It is a hash of the facts and nothing else, so whoever knows them can join an audit line and a gateway's log.
        """
        if not (self.dag_id and self.run_id and self.task_id):
            return None
        return _correlation_id(self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number)

    def stamp(self, attribution: Attribution) -> Mapping[str, str]:
        """List the facts that a credential of this attribution names; ``unknown`` where the caller lacks one."""
        return {name: getattr(self, name) or "unknown" for name in STAMPED[attribution]}


def run_type(run_id: str | None) -> str | None:
    """Tell the type of a Dag run by its id; None where its id was chosen by a person."""
    prefix, separator, _ = (run_id or "").partition("__")
    return prefix if separator and prefix in RUN_TYPES else None


def stamp_id(stamp: Mapping[str, str]) -> str | None:
    """
    Name a stamp in 32 hex digits, where its facts are too long or of the wrong characters; None for nobody's.

    It is a hash of the facts and nothing else, so that an audit line and a provider's log can be joined.
    """
    return _stamp_id(tuple(sorted(stamp.items()))) if stamp else None


@lru_cache(maxsize=1024)
def _stamp_id(facts: tuple[tuple[str, str], ...]) -> str:
    return _digest(dict(facts))


@lru_cache(maxsize=1024)
def _correlation_id(*facts: str | int | None) -> str:
    return _digest(facts)


def _digest(facts: object) -> str:
    return sha256(msgspec.json.encode(facts)).hexdigest()[:32]
