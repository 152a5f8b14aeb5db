"""The JSON Schema of the configuration file, made from the very types that read it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta

from airflow_ephemeral_secrets.config import BASES
from airflow_ephemeral_secrets.settings import SETTINGS
from airflow_ephemeral_secrets.shapes.base import VariableShape
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES, NotAKind, added, load, load_kind

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Name = Annotated[str, Meta(min_length=1, max_length=250)]


def json_schema() -> dict[str, Any]:
    """Give the schema (draft 2020-12)."""
    document = msgspec.defstruct(
        "Configuration",
        [
            ("version", Literal[1]),
            *((name, _section(name, kinds), None) for name, kinds in _SECTIONS),
            ("variables", dict[Name, VariableShape] | None, None),
            *((name, cls | None, None) for name, cls in SETTINGS.items()),
        ],
        forbid_unknown_fields=True,
    )
    (schema,), components = msgspec.json.schema_components([document], ref_template="#/$defs/{name}")
    return {"$schema": DIALECT, **schema, "$defs": _plain(components)}


_SECTIONS = (("secrets", REFERENCES), ("sources", SOURCES), ("connections", SHAPES))


def _section(name: str, kinds: Mapping[str, str]) -> Any:
    types = [*map(load, kinds.values())]
    for kind, place in added(name).items():
        with suppress(NotAKind):
            types += [load_kind(kind, place, BASES[name])] if kind not in kinds else []
    entry: Any = Union[tuple(types)]  # noqa: UP007  # a union of what a table lists
    return dict[Name, entry] | None


def _plain(components: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the first line of each docstring: the rest is reStructuredText, which editors do not show well."""
    return {
        name: {**part, **({"description": text.strip().splitlines()[0]} if (text := part.get("description")) else {})}
        for name, part in components.items()
    }
