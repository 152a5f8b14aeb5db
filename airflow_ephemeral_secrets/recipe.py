"""Recipes: which conn_id or variable becomes what, from which source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import translate
from re import Pattern, compile
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.leases.lease import LeaseKey, lease_key
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import Rule, Shape, VariableShape
from airflow_ephemeral_secrets.sources.base import SecretReference, Source

T = TypeVar("T")

_WILD = frozenset("*?[")


class Recipe(Struct, frozen=True, kw_only=True):
    """
    One entry under ``connections`` or ``variables``.

    :param pattern: the name or pattern it stands under
    :param source_name: the name of its source
    :param references: where the secrets that it and its source name lie
    :param proofs: those of the source, in the order of their names
    """

    pattern: str
    source_name: str
    source: Source
    shape: Shape | VariableShape
    references: Mapping[str, SecretReference]
    proofs: tuple[SecretReference, ...]

    @property
    def allow(self) -> Rule | None:
        return self.shape.allow

    def facts(self, caller: Caller) -> Mapping[str, Any]:
        """
        Fill the source's fields in for this caller.

        :raises AccessDenied: when they need a fact that the caller lacks
        """
        return self.source.facts(caller)

    def lease_key(self, caller: Caller, facts: Mapping[str, Any]) -> LeaseKey:
        """
        Name the request: all that decides what is minted, and nothing secret.

        :param facts: of :meth:`facts`
        """
        return lease_key(
            {
                "kind": self.source.kind,
                "facts": facts,
                "stamp": self.source.stamp(caller),
                "team": caller.team,
                "ambient": self.source.ambient(),
                "secrets": self.proofs,
            }
        )


def secret_names(thing: Struct) -> dict[str, str]:
    """Name the secrets that the fields of a source or shape refer to, by the path of the field."""
    found = {}
    for field, value in msgspec.structs.asdict(thing).items():
        for path, item in (
            [(f"{field}.{key}", item) for key, item in value.items()] if isinstance(value, dict) else [(field, value)]
        ):
            if isinstance(item, SecretName):
                found[path] = item.secret
    return found


class Book(Generic[T]):
    """
    Find what stands for a name: its exact entry, else the first pattern in file order that matches.

    :param entries: by name or ``fnmatch`` pattern
    """

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[str, T] = {}
        self._patterns: list[tuple[Pattern[str], T]] = []
        for name, entry in entries:
            if _WILD.isdisjoint(name):
                self._exact[name] = entry
            else:
                self._patterns.append((compile(translate(name)), entry))

    def match(self, name: str) -> T | None:
        """Find the entry for a name, or None when it is not ours."""
        entry = self._exact.get(name)
        if entry is not None:
            return entry
        for pattern, candidate in self._patterns:
            if pattern.match(name):
                return candidate
        return None

    def __iter__(self) -> Any:
        return iter([*self._exact.values(), *(entry for _, entry in self._patterns)])
