"""Bad responses are caught, told by their place and rule, and never repeated."""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

import pytest

from airflow_ephemeral_secrets.gateway.checks import BadResponse, ResponseChecks

CANARY = "canary-of-a-response"
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "lines": {"items": {"properties": {"sku": {"maxLength": 3}}}}},
        "additionalProperties": {"type": "number"},
    },
}
GOOD = json.dumps([{"id": 1}, {"id": 2, "lines": [{"sku": "abc"}]}]).encode()

BAD: dict[str, tuple[ResponseChecks, str, Any, str]] = {
    "content type": (
        ResponseChecks(),
        "text/html; charset=utf-8",
        GOOD,
        "content type text/html, not application/json",
    ),
    "no content type": (ResponseChecks(), "", GOOD, "content type missing, not application/json"),
    "odd content type": (ResponseChecks(), f"<{CANARY}>", GOOD, "content type unreadable, not application/json"),
    "cut": (
        ResponseChecks(),
        "application/json",
        GOOD[:-1],
        "48 bytes that are no JSON: not well-formed at line 1, column 49",
    ),
    "markup": (ResponseChecks(), "application/json", CANARY, "not well-formed at line 1, column 1"),
    "no text": (ResponseChecks(), "application/json", b'"\xff' + CANARY.encode(), "no Unicode at byte 1"),
    "NaN": (ResponseChecks(), "application/json", "[NaN]", "NaN and infinities are no numbers there"),
    "deep": (ResponseChecks(), "application/json", "[" * 100_000, "nested too deeply"),
    "empty": (ResponseChecks(), "application/json", "", "0 bytes that are no JSON"),
    "size": (ResponseChecks(max_bytes=10), "application/json", GOOD, "more than 10 bytes"),
    "schema": (
        ResponseChecks(json_schema=SCHEMA),
        "application/json",
        json.dumps([{"id": 1}, {"id": CANARY}]),
        "$[1].id breaks the rule items/properties/id/type",
    ),
    "deep in the schema": (
        ResponseChecks(json_schema=SCHEMA),
        "application/json",
        json.dumps([{"id": 1, "lines": [{"sku": CANARY}]}]),
        "$[0].lines[0].sku breaks the rule items/properties/lines/items/properties/sku/maxLength",
    ),
    "a name the schema does not know": (
        ResponseChecks(json_schema=SCHEMA),
        "application/json",
        json.dumps([{"id": 1, CANARY: "text"}]),
        "$[0].* breaks the rule items/additionalProperties/type",
    ),
    "missing": (
        ResponseChecks(json_schema=SCHEMA),
        "application/json",
        json.dumps([{"note": CANARY}]),
        "$[0]",
    ),
    "few": (ResponseChecks(min_items=3), "application/json", GOOD, "2 items, not at least 3"),
    "no array": (ResponseChecks(min_items=1), "application/json", "{}", "an object, not an array of at least 1 items"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad(case: str) -> None:
    """Each fault has its words, and nothing of the response stands in any part of the exception."""
    checks, content_type, body, expected = BAD[case]
    with pytest.raises(BadResponse) as caught:
        checks.check(content_type, body.encode() if isinstance(body, str) else body)
    assert expected in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("checks", "content_type", "body"),
    [
        (ResponseChecks(), "application/json; charset=utf-8", GOOD),
        (ResponseChecks(), "application/problem+json", GOOD),
        (ResponseChecks(json_schema=SCHEMA, min_items=2, max_bytes=len(GOOD)), "Application/JSON", GOOD),
        (ResponseChecks(content_type=None), "image/png", b"\x89PNG"),
        (ResponseChecks(content_type="text/csv"), "text/csv", b"a,b"),
        (ResponseChecks(content_type=None, min_items=1), "text/plain", b"[1]"),
    ],
)
def test_good(checks: ResponseChecks, content_type: str, body: bytes) -> None:
    """What is as it must be passes."""
    checks.check(content_type, body)


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"items": {"type": "objekt"}}, "json_schema.items.type: 'objekt' is not valid"),
        ({"enum": 5}, "json_schema.enum: 5 is not of type 'array'"),
        ({"properties": []}, "json_schema.properties: [] is not of type 'object'"),
    ],
)
def test_no_schema(schema: dict[str, Any], fault: str) -> None:
    """A schema that is none is an error where the Dag is written."""
    with pytest.raises(ValueError, match=re.escape(fault)):
        ResponseChecks(json_schema=schema)


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"$ref": "http://192.0.2.1/schema.json"}, "refers to 'http://192.0.2.1/schema.json', which is not in it"),
        ({"$ref": "#/nowhere"}, "refers to '/nowhere', which is not in it"),
        ({"$ref": "#/item", "item": {"type": "objekt"}}, "cannot be applied (UnknownType)"),
    ],
    ids=["elsewhere", "nowhere", "unknown type"],
)
def test_a_schema_that_cannot_be_applied(schema: dict[str, Any], fault: str) -> None:
    """What only an answer brings to light fails it, fetches nothing, and repeats nothing of the answer."""
    with pytest.raises(BadResponse) as caught:
        ResponseChecks(json_schema=schema).check("application/json", json.dumps({"id": CANARY}).encode())
    assert fault in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
