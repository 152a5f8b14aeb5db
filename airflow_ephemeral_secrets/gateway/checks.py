"""What a response must be before anything downstream sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowException
from msgspec import Struct

LONGEST_PATH = 200


class BadResponse(AirflowException):
    """
    Say which check a response failed, and never what it holds.

    :param check: ``content_type``, ``max_bytes``, ``json``, ``json_schema`` or ``min_items``
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


class ResponseChecks(Struct, frozen=True):
    """
    Check a response whose status is good.

    :param content_type: what ``Content-Type`` must say, without its parameters; a JSON type makes the body be parsed,
        and ``application/json`` takes ``application/*+json`` (RFC 6839) too; None for any
    :param json_schema: what the JSON document must be like (JSON Schema)
    :param min_items: items that the JSON document, an array, must have at least
    :param max_bytes: the size of the body at most, after decoding; no more than this is read
    :raises ValueError: when the schema is none
    """

    content_type: str | None = "application/json"
    json_schema: Mapping[str, Any] | None = None
    min_items: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.json_schema is not None:
            _require_schema(self.json_schema)

    def check(self, content_type: str, body: bytes) -> None:
        """
        Check a response.

        :param content_type: the value of its ``Content-Type``
        :raises BadResponse: at the first check that it fails
        """
        kind = content_type.partition(";")[0].strip().lower()
        if self.content_type and not _is(kind, self.content_type.lower()):
            raise BadResponse("content_type", f"content type {_shown(kind)}, not {self.content_type}")
        self.check_size(len(body))
        json_wanted = "json" in (self.content_type or "").lower()
        if json_wanted or self.json_schema is not None or self.min_items is not None:
            self._check_document(_document(body))

    def check_size(self, size: int) -> None:
        """
        Check the size of a body, or of as much of it as has come.

        :raises BadResponse: when it is too large
        """
        if self.max_bytes is not None and size > self.max_bytes:
            raise BadResponse("max_bytes", f"more than {self.max_bytes} bytes")

    def _check_document(self, document: Any) -> None:
        if self.json_schema is not None and (fault := _fault(document, self.json_schema)):
            raise BadResponse("json_schema", fault)
        if self.min_items is not None:
            if not isinstance(document, list):
                raise BadResponse("min_items", f"{_kind(document)}, not an array of at least {self.min_items} items")
            if len(document) < self.min_items:
                raise BadResponse("min_items", f"{len(document)} items, not at least {self.min_items}")


def _is(kind: str, wanted: str) -> bool:
    suffixed = wanted == "application/json" and kind.startswith("application/") and kind.endswith("+json")
    return kind == wanted or suffixed


def _shown(kind: str) -> str:
    """Show a media type, if it looks like one: whatever else stands in the header is not ours to repeat."""
    plain = kind.replace("/", "", 1).replace("+", "").replace("-", "").replace(".", "")
    return kind if plain.isalnum() and len(kind) <= 80 else "missing" if not kind else "unreadable"


def _document(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_number)
    except RecursionError:
        fault = "nested too deeply"
    except UnicodeDecodeError as error:
        fault = f"no Unicode at byte {error.start}"
    except json.JSONDecodeError as error:
        fault = f"not well-formed at line {error.lineno}, column {error.colno}"
    except ValueError:
        fault = "NaN and infinities are no numbers there"
    raise BadResponse("json", f"{len(body)} bytes that are no JSON: {fault}")


def _no_number(_: str) -> None:
    raise ValueError


def _require_schema(schema: Mapping[str, Any]) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
        return
    except SchemaError as error:
        fault = f"{error.json_path[1:]}: {error.message}"
    raise ValueError(f"json_schema{fault[:LONGEST_PATH]}")


def _fault(document: Any, schema: Mapping[str, Any]) -> str:
    """
    Name the place and the rule of the first fault, or nothing.

    Names of members are shown where the schema names them too: others belong to the document, and stay out. So does
    what the library says of a schema that it cannot apply.
    """
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        # an empty registry: a schema that refers to others elsewhere fetches nothing
        error = best_match(validator_for(schema)(schema, registry=Registry()).iter_errors(document))
    except RecursionError:
        return "the document or the schema is nested too deeply"
    except Unresolvable as unresolvable:
        return f"the schema refers to {unresolvable.ref[:LONGEST_PATH]!r}, which is not in it"
    except Exception as failed:
        return f"the schema cannot be applied ({type(failed).__name__})"
    if error is None:
        return ""
    rule = list(error.absolute_schema_path)
    place = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" if part in rule else ".*" for part in error.absolute_path
    )
    return f"${place[:LONGEST_PATH]} breaks the rule {'/'.join(map(str, rule))[:LONGEST_PATH]}"


def _kind(document: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(document), "a number")
