"""The configuration reference, told by the very types that read the file: Markdown with a table for every kind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.settings import SETTINGS, SyslogSettings
from airflow_ephemeral_secrets.shapes.base import Rule, VariableShape
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES, load

KINDS: Mapping[str, Mapping[str, str]] = {"secrets": REFERENCES, "sources": SOURCES, "connections": SHAPES}
TABLES: Mapping[str, type[Struct]] = {"allow": Rule, "variables": VariableShape, "syslog": SyslogSettings, **SETTINGS}

_PARAM = re.compile(r"^:param (\w+): (.+(?:\n +.+)*)", re.MULTILINE)
_WORDS = {
    str: "text",
    int: "a whole number",
    bool: "`true` or `false`",
    Any: "anything",
    SecretName: "`{secret: NAME}`",
    dict[str, Any]: "a mapping",
}


def section(name: str) -> str:
    """
    Describe all that may stand in one section of the file.

    :raises LookupError: when a field has no description
    """
    if name in TABLES:
        return describe(TABLES[name])
    return "\n".join(f"### {kind}\n\n{describe(load(place))}" for kind, place in sorted(KINDS[name].items()))


def describe(cls: type[Struct]) -> str:
    """
    Describe a type: what its docstring says, and a row for each field.

    :raises LookupError: when a field has no description
    """
    types, meanings = get_type_hints(cls, include_extras=True), _meanings(cls)
    if missing := [field.name for field in msgspec.structs.fields(cls) if field.name not in meanings]:
        raise LookupError(f"the docstring of {cls.__name__} has no :param: for {', '.join(missing)}")
    order = list(meanings)
    fields = sorted(msgspec.structs.fields(cls), key=lambda field: (not field.required, order.index(field.name)))
    cells = [("field", "accepts", "default", "meaning"), ("---",) * 4]
    filled = getattr(cls, "templates", ())
    cells += [
        (f"`{it.name}`{' ◆' if it.name in filled else ''}", words(types[it.name]), _default(it), meanings[it.name])
        for it in fields
    ]
    rows = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in cells)
    prose = cleandoc(cls.__doc__ or "").partition("\n:param")[0]
    return "\n".join([prose.strip(), "", *rows, ""])


def words(type_: Any) -> str:
    """Say what a type accepts: in its own words if it has some."""
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        meta = next(note for note in args[1:] if isinstance(note, Meta))
        return meta.description or words(args[0]) + _length(meta, "characters" if args[0] is str else "entries")
    if origin in (Union, UnionType):
        return " or ".join(words(option) for option in args if option is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in args)
    if origin in (list, dict) and args != (str, Any):
        return f"a {'list' if origin is list else 'mapping'}: {' → '.join(map(words, args))}"
    if type_ in _WORDS:
        return _WORDS[type_]
    return f"a mapping with {', '.join(f'`{field.name}`' for field in msgspec.structs.fields(type_))}"


def _length(meta: Meta, unit: str) -> str:
    if meta.min_length is not None:
        return f" of {meta.min_length} to {meta.max_length} {unit}"
    return f", at most {meta.max_length} {unit}" if meta.max_length is not None else ""


def _default(field: Any) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return "none" if value in (None, [], {}) else f"`{json.dumps(value)}`"


def _meanings(cls: type[Struct]) -> dict[str, str]:
    """Collect the ``:param:`` lines of a class, then of its bases; the nearest wins."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        for name, text in _PARAM.findall(cleandoc(base.__doc__ or "")):
            found.setdefault(name, " ".join(text.split()))
    return found
