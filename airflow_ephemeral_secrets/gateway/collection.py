"""A Postman collection: read, and looked at without running it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from airflow_ephemeral_secrets.errors import EphemeralSecretsError

LARGEST = 16 << 20
SHOWN = 10
DEEPEST = 40
EXPORT = "exporting it as Collection v2.1 from Postman"

_USED = re.compile(r"\{\{([^{}]{1,200})\}\}")
_SET = re.compile(r"(?:\.set|set(?:Environment|Global)Variable)\s*\(\s*(?:(['\"`])([^'\"`$]+)\1\s*[,)])?")


class CollectionError(EphemeralSecretsError):
    """
    Say what is wrong with a collection.

    :param where: its path, or its id
    :param problems: one each
    """

    default_code = "collection"

    def __init__(self, where: str, problems: Iterable[str], hint: str | None = None) -> None:
        self.problems = tuple(problems)
        more = f"; and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
        super().__init__(f"collection {where}: {'; '.join(self.problems[:SHOWN])}{more}", hint=hint)


class Collection:
    """
    A collection in one of the formats 2.0 and 2.1.

    :param content: JSON, as exported or as the Postman API answers
    :param where: its path or id, for messages
    :raises CollectionError: when it is none
    """

    def __init__(self, content: bytes, where: str) -> None:
        self.where = where
        self.raw = _decode(content, where)
        if problems := list(_problems(self.raw)):
            raise CollectionError(where, problems, EXPORT)
        self.name = str(self.raw["info"]["name"])

    @classmethod
    def read(cls, path: str | Path) -> Collection:
        """
        Read a file.

        :raises CollectionError: when it cannot be read, is larger than 16 MiB, or is no collection
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            return cls(content, str(path))
        raise CollectionError(str(path), [f"cannot be read ({reason.lower()})"])

    def require(self, filled: Iterable[str], prefixes: Iterable[str] = (), folder: str | None = None) -> None:
        """
        Make sure that every ``{{variable}}`` of the requests gets a value.

        Those that scripts set count as filled; nothing is said of a collection whose scripts compute names.

        :param filled: names that have a value from outside
        :param prefixes: of further names that may have one
        :param folder: the folder or request that will run, by name or id
        :raises CollectionError: naming those that nothing fills
        """
        part = self.raw if folder is None else _find(self.raw, folder)
        if part is None:
            raise CollectionError(self.where, [f"there is no folder or request {folder!r}"])
        set_by_scripts = list(_set_by_scripts(self.raw))
        if None in set_by_scripts:
            return
        known = {*filled, *set_by_scripts, *_own_variables(self.raw)}
        used = {name for text in (*_texts(self.raw, items=False), *_texts(part)) for name in _USED.findall(text)}
        missing = sorted(
            name for name in used - known if not name.startswith("$") and not name.startswith(tuple(prefixes))
        )
        if missing:
            names = ", ".join(f"{{{{{name}}}}}" for name in missing[:SHOWN])
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            raise CollectionError(
                self.where, [f"nothing fills {names}{more}"], "a conn_id or a value for it in conn_ids or variables"
            )


def _decode(content: bytes, where: str) -> Any:
    if len(content) > LARGEST:
        raise CollectionError(where, [f"is larger than {LARGEST >> 20} MiB"])
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raw = None
    if raw is None:
        raise CollectionError(where, ["is not JSON"], EXPORT)
    return raw["collection"] if isinstance(raw, dict) and isinstance(raw.get("collection"), dict) else raw


def _problems(raw: Any) -> Iterator[str]:
    info = raw.get("info") if isinstance(raw, dict) else None
    if not isinstance(info, dict) or not isinstance(info.get("name"), str):
        yield "info.name: required, for this is how collections of version 2 begin"
        return
    schema = info.get("schema")
    if not isinstance(schema, str) or "/collection/v2." not in schema:
        yield "info.schema: expected that of version 2.0 or 2.1"
    yield from _item_problems(raw.get("item"), "item", 0)


def _item_problems(items: Any, path: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield f"{path}: folders in more than {DEEPEST} folders"
    elif not isinstance(items, list):
        yield f"{path}: expected a list of requests and folders"
    else:
        for index, item in enumerate(items):
            where = f"{path}[{index}]"
            if not isinstance(item, dict):
                yield f"{where}: expected a request or a folder"
            elif "item" in item:
                yield from _item_problems(item["item"], f"{where}.item", depth + 1)
            elif not isinstance(item.get("request"), (str, dict)):
                yield f"{where}.request: required"
            elif isinstance(item["request"], dict) and not isinstance(item["request"].get("url"), (str, dict)):
                yield f"{where}.request.url: required"


def _find(raw: Mapping[str, Any], folder: str) -> Any:
    for item in raw["item"]:
        if folder in (item.get("name"), item.get("id"), item.get("_postman_id")):
            return item
        if "item" in item and (found := _find(item, folder)):
            return found
    return None


def _texts(part: Any, *, items: bool = True) -> Iterator[str]:
    """
    List the texts of requests in which variables are filled, but for what is switched off.

    :param items: whether to look into requests and folders, or only at what is common to all
    """
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for one in part:
            yield from _texts(one)
    elif isinstance(part, dict) and not part.get("disabled"):
        parsed = isinstance(part.get("host"), (list, str)) and "raw" in part
        left_out = {"event", "response", "description", "info", "name"} | ({"raw"} if parsed else set())
        for key, value in part.items():
            if key not in left_out and (items or key != "item"):
                yield from _texts(value)


def _own_variables(part: Any) -> Iterator[str]:
    for variable in part.get("variable") or ():
        if isinstance(variable, dict) and not variable.get("disabled"):
            yield str(variable.get("key") or variable.get("id"))
    for item in part.get("item") or ():
        yield from _own_variables(item)


def _set_by_scripts(part: Any) -> Iterator[str | None]:
    """List the names that scripts set; None for one that is computed."""
    for event in part.get("event") or ():
        script = event.get("script") if isinstance(event, dict) else None
        lines = script.get("exec", "") if isinstance(script, dict) else script or ""
        for _, name in _SET.findall(lines if isinstance(lines, str) else "\n".join(map(str, lines))):
            yield name or None
    for item in part.get("item") or ():
        yield from _set_by_scripts(item)
