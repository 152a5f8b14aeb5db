"""
A configuration file as plain values: bounded in size, depth and repetition.

YAML is read as its 1.2 core schema says, in its safe subset: no anchors, no aliases, no tags, no duplicate keys, and
decimal numbers only.
"""

from __future__ import annotations

import json
import os
import re
import stat
from math import isfinite
from typing import Any

from airflow_ephemeral_secrets.errors import ConfigError

LARGEST = 1024 * 1024
DEEPEST = 32
TOO_DEEP = f"is nested deeper than {DEEPEST} levels"

_PLAIN: dict[str, bool | None] = {"": None, "~": None, **dict.fromkeys(("null", "Null", "NULL"))}
_PLAIN.update(dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False))
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[-+]?(?:([0-9]{1,100})|(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?)")


class Unreadable(Exception):
    """Say why a document cannot be read, in words that hold nothing of its content."""


def read(path: str) -> Any:
    """
    Read a configuration file.

    :param path: a YAML or JSON file in UTF-8, of at most 1 MiB
    :return: dicts, lists, strings, numbers, booleans and None
    :raises ConfigError: when it is missing, not a regular file, too large, not UTF-8 or not such a document
    """
    try:
        return parse(_text(path))
    except Unreadable as error:
        raise ConfigError(path, [f"file: {error}"]) from None


def _text(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable("is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable(os.strerror(error.errno or 0).lower()) from None
    except ValueError:
        raise Unreadable("cannot be at such a path") from None
    if len(content) > LARGEST:
        raise Unreadable(f"is larger than {LARGEST // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 (byte {error.start})") from None


def parse(text: str) -> Any:
    """
    Parse a YAML or JSON document.

    :raises Unreadable: when it is empty or breaks a bound
    """
    if not text.strip():
        raise Unreadable("is empty")
    bound(text)
    value = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    bound(value)
    return value


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Unreadable(f"has the key {key[:60]!r} twice")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError:
        return _yaml(text)
    except ValueError:
        raise Unreadable("holds a number of too many digits") from None
    except RecursionError:
        raise Unreadable(TOO_DEEP) from None


def bound(value: Any, depth: int = 0) -> None:
    """
    Refuse plain values that are nested too deep, or that JSON in UTF-8 cannot say.

    :raises Unreadable: when they are
    """
    if isinstance(value, (dict, list)):
        if depth == DEEPEST:
            raise Unreadable(TOO_DEEP)
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            bound(item, depth + 1)
    elif isinstance(value, str) and _SURROGATE.search(value):
        raise Unreadable("holds half of a surrogate pair")
    elif isinstance(value, float) and not isfinite(value):
        raise Unreadable("holds a number that is not finite")


def _yaml(text: str) -> Any:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _build(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        if "nesting depth" in str(getattr(error, "problem", None)):  # libyaml's own bound, which it meets first
            raise Unreadable(TOO_DEEP) from None
        raise Unreadable(f"is not YAML{_place(error)}") from None


def _place(error: object) -> str:
    """Say where the parser stopped and why, in words that hold nothing of the content."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return (f" at line {mark.line + 1}, column {mark.column + 1}" if mark else "") + (f": {problem}" if problem else "")


def _build(events: Any) -> Any:
    """Turn parser events into values without recursion."""
    import yaml

    root: list[Any] = []
    open_nodes: list[_Node] = [_Node(root)]
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Unreadable(f"uses an anchor or alias at line {_line(event)}; neither is accepted")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            raise Unreadable(f"uses a tag at line {_line(event)}; tags are not accepted")
        if isinstance(event, yaml.ScalarEvent):
            open_nodes[-1].add(_scalar(event), event)
        elif isinstance(event, yaml.CollectionStartEvent):
            node = _Node({} if isinstance(event, yaml.MappingStartEvent) else [])
            open_nodes[-1].add(node.value, event)
            open_nodes.append(node)
            if len(open_nodes) > DEEPEST + 1:
                raise Unreadable(TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
    if len(root) != 1:
        raise Unreadable("holds more than one document" if root else "is empty")
    return root[0]


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


class _Node:
    """A list or mapping that is being filled; in a mapping, keys and values come in turn."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key: str | None = None

    def add(self, item: Any, event: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(item)
        elif self._key is not None:
            self.value[self._key] = item
            self._key = None
        else:
            line = _line(event)
            key = getattr(event, "value", None)
            if not isinstance(key, str):
                raise Unreadable(f"has a key that is not text at line {line}")
            if key in self.value:
                raise Unreadable(f"has the key {key[:60]!r} twice, again at line {line}")
            self._key = key


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    if number := _NUMBER.fullmatch(text):
        return int(text) if number[1] else float(text)
    return text
