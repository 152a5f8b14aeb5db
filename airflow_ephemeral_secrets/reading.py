"""Plain values read into typed ones, with every problem reported at once, each with its path."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

T = TypeVar("T", bound=Struct)

_AT = re.compile(r" - at `\$?(.*)`$")
_EXPECTED = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`")
_SENSITIVE = re.compile(r"pass|secret|token|key|cred|auth|header|extra|value|url|proxy|host|login|user", re.IGNORECASE)
_SHOWN = 80
LISTED = 12
NAMED = ("secrets", "sources", "connections", "variables")
BY_REFERENCE = "a secret goes by reference: {secret: NAME}, with NAME under secrets"
_PLAIN = frozenset({"str", "int", "float", "bool"})
_TYPES = {"str": "text", "int": "a whole number", "bool": "true or false", "object": "a mapping", "array": "a list"}


class SecretName(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret by reference: the name of an entry under ``secrets``."""

    secret: str


class Problems(list[str]):
    """What is wrong, one ``path: message`` each."""

    def add(self, path: str, message: str) -> None:
        self.append(f"{path}: {message}")


def known(name: str, names: Iterable[str]) -> str:
    """Say which name is near, or a few that are known."""
    import difflib

    options = sorted(names)
    near = difflib.get_close_matches(name, options, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(options) - LISTED} more" if len(options) > LISTED else ""
    return f"known: {', '.join(options[:LISTED]) or 'none'}{more}"


def struct(cls: type[T], raw: Any, path: str, problems: Problems, *, ignore: Iterable[str] = ()) -> T | None:
    """
    Read one mapping.

    :param cls: the type to read into
    :param raw: a plain value
    :param path: where it stands, for the messages
    :param problems: gets every problem found
    :param ignore: keys that somebody else has read
    :return: the typed value, or None when there were problems
    """
    if not isinstance(raw, Mapping):
        problems.add(path, f"expected a mapping, got {_name(raw)}")
        return None
    if cls is SecretName and set(raw) - {"secret"}:
        problems.add(path, BY_REFERENCE)
        return None
    before = len(problems)
    fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
    for key in raw:
        if key not in fields and key not in ignore:
            problems.add(f"{path}.{key}", f"unknown key; {known(key, fields)}")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in raw:
            values[field.name] = _value(_hints(cls)[field.name], raw[key], f"{path}.{key}", problems)
        elif field.required:
            problems.add(f"{path}.{key}", "required")
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        problems.add(path, str(error))
        return None


@cache
def _hints(cls: type[Struct]) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _value(type_: Any, raw: Any, path: str, problems: Problems) -> Any:
    options = _options(type_)
    structs = [option for option in options if isinstance(option, type) and issubclass(option, Struct)]
    if SecretName in structs and not isinstance(raw, Mapping) and not (raw is None and type(None) in options):
        if str not in map(_bare, options):
            problems.add(path, BY_REFERENCE)
            return None
    elif structs and isinstance(raw, Mapping):
        return struct(structs[0], raw, path, problems)
    present = [option for option in options if option is not type(None)]
    bare = _bare(present[0] if len(present) == 1 else type_)
    if get_origin(bare) is dict and isinstance(raw, Mapping):
        return _mapping(type_, bare, raw, path, problems)
    if get_origin(bare) is list and isinstance(raw, list):
        before = len(problems)
        for index, item in enumerate(raw):
            _value(get_args(bare)[0], item, f"{path}[{index}]", problems)
        if len(problems) > before:
            return None
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        problems.add(path, _explain(error, type_, raw, path))
        return None


def _mapping(type_: Any, bare: Any, raw: Mapping[str, Any], path: str, problems: Problems) -> Any:
    key_type, item_type = get_args(bare)
    before = len(problems)
    for key in raw:
        _value(key_type, key, f"{path}.{key}", problems)
    values = {key: _value(item_type, value, f"{path}.{key}", problems) for key, value in raw.items()}
    if len(problems) > before:
        return None
    for meta in get_args(type_)[1:] if bare is not type_ else ():
        if isinstance(meta, Meta) and meta.max_length is not None and len(raw) > meta.max_length:
            problems.add(path, f"holds {len(raw)} entries, over {meta.max_length}")
    return values


def _options(type_: Any) -> tuple[Any, ...]:
    return get_args(type_) if get_origin(type_) in (Union, types.UnionType) else (type_,)


def _bare(type_: Any) -> Any:
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _explain(error: msgspec.ValidationError, type_: Any, raw: Any, path: str) -> str:
    """Say what is accepted, in the type's words if it has some, and what came, unless that is long or may be secret."""
    described = [
        meta.description
        for option in _options(type_)
        if get_origin(option) is Annotated
        for meta in get_args(option)[1:]
        if isinstance(meta, Meta) and meta.description
    ]
    section, *parts = path.split(".")
    field = ".".join(parts[1:] if section in NAMED else parts)
    plain = isinstance(raw, (str, int, float, bool)) and len(str(raw)) <= _SHOWN and not _SENSITIVE.search(field)
    came = repr(raw) if plain else _name(raw)
    words = [repr(word) for option in _options(type_) if get_origin(option) is Literal for word in get_args(option)]
    if described or words:
        return f"expected {described[0] if described else ' or '.join(words)}, got {came}"
    text = _AT.sub("", str(error))
    if match := _EXPECTED.match(text):
        return f"expected {_TYPES.get(match[1], match[1])}, got {came if match[1] in _PLAIN else _name(raw)}"
    return f"{text[0].lower()}{text[1:]}, got {came}"


def _name(raw: Any) -> str:
    names = {type(None): "nothing", dict: "a mapping", list: "a list", str: "text", bool: "a boolean"}
    return names.get(type(raw), "a number")
