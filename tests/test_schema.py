"""The JSON Schema of the configuration file agrees with the loader."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import fields

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.schema import DIALECT, json_schema
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES, load
from tests.broken import MEANING, TYPES, WHOLE, Fault

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def accepts(text: str) -> bool:
    return VALIDATOR.is_valid(document.parse(text))


def test_is_a_schema() -> None:
    """It is a schema of the dialect it names, and plain JSON."""
    Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == DIALECT == Draft202012Validator.META_SCHEMA["$schema"]
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_accepts_whole_files(name: str) -> None:
    """What the loader accepts, it accepts."""
    assert list(VALIDATOR.iter_errors(document.parse(WHOLE[name]))) == []


@pytest.mark.parametrize(
    ("section", "tag", "kinds"),
    [("secrets", "from", REFERENCES), ("sources", "kind", SOURCES), ("connections", "shape", SHAPES)],
)
def test_every_kind_has_an_example(section: str, tag: str, kinds: dict[str, str]) -> None:
    """Each kind of secret, source and shape stands in ``everything``, with each of its fields."""
    used: dict[str, set[str]] = {kind: set() for kind in kinds}
    for entry in document.parse(WHOLE["everything"])[section].values():
        used[entry[tag]] |= entry.keys() - {tag}

    assert used == {kind: {field.encode_name for field in fields(load(place))} for kind, place in kinds.items()}


@pytest.mark.parametrize("fault", TYPES, ids=str)
def test_rejects_broken_files(fault: Fault) -> None:
    """It rejects a fault of type, and accepts the same file without it."""
    assert (accepts(fault.text), accepts(fault.mended)) == (False, True)


@pytest.mark.parametrize("fault", MEANING, ids=str)
def test_leaves_meaning_to_the_loader(fault: Fault) -> None:
    """A fault of meaning is listed as one only because it cannot see it."""
    assert accepts(fault.text)


def test_describes_in_one_line() -> None:
    """Editors show descriptions as they are, so each is one line of plain text."""
    described = [part["description"] for part in SCHEMA["$defs"].values() if "description" in part]

    assert described
    assert not [text for text in described if "\n" in text or ":param" in text]
