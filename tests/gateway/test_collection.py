"""A collection is read and looked at without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.gateway import collection as module
from airflow_ephemeral_secrets.gateway.collection import Collection, CollectionError
from tests.gateway.collections import bearer, collection, request

GOOD = collection(request("one", "{{host}}/orders"))


def made(content: Any) -> Collection:
    return Collection(json.dumps(content).encode(), "orders.json")


@pytest.mark.parametrize("content", [GOOD, {"collection": GOOD}, collection({"name": "folder", "item": GOOD["item"]})])
def test_collections_are_read(content: Any) -> None:
    """A collection as exported, as the Postman API answers, and with folders, is one."""
    assert made(content).name == "orders"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a text", "info.name: required"),
        ({"id": "1", "order": [], "requests": []}, "info.name: required"),
        ({**GOOD, "info": {"name": "orders", "schema": "https://schema.getpostman.com/collection/v1"}}, "info.schema"),
        ({**GOOD, "item": {}}, r"item: expected a list"),
        (collection({"name": "empty"}), r"item\[0\].request: required"),
        (collection({"name": "f", "item": [{"request": {}}]}), r"item\[0\].item\[0\].request.url: required"),
        (collection("text"), r"item\[0\]: expected a request or a folder"),  # type: ignore[arg-type]  # what is tested
    ],
)
def test_what_is_no_collection_is_explained(content: Any, problem: str) -> None:
    """What is wrong is told with its path, and what helps."""
    with pytest.raises(CollectionError, match=f"collection orders.json: .*{problem}.*; try: exporting it"):
        made(content)


@pytest.mark.parametrize(
    ("content", "problem"), [(b"{", "is not JSON"), (b"[" * 100_000, "is not JSON"), (b"\xff", "is not JSON")]
)
def test_junk_is_no_collection(content: bytes, problem: str) -> None:
    """What cannot be decoded is refused, and nothing of it is shown."""
    with pytest.raises(CollectionError, match=problem):
        Collection(content, "orders.json")


def test_folders_are_not_endless() -> None:
    """Folders in folders without an end are refused."""
    item: dict[str, Any] = request("one", "http://api")
    for _ in range(60):
        item = {"name": "folder", "item": [item]}
    with pytest.raises(CollectionError, match="more than 40 folders"):
        made(collection(item))


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too large or not there is refused with its name."""
    monkeypatch.setattr(module, "LARGEST", 100)
    large = tmp_path / "large.json"
    large.write_text("x" * 101)
    with pytest.raises(CollectionError, match=r"large.json: is larger than"):
        Collection.read(large)
    with pytest.raises(CollectionError, match=r"none.json: cannot be read \(no such file"):
        Collection.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (collection(request("a", "{{host}}/{{page}}")), "{{host}}, {{page}}"),
        (collection(request("a", "http://api", auth=bearer("{{key}}"))), "{{key}}"),
        (collection(request("a", "http://api"), auth=bearer("{{key}}")), "{{key}}"),
        (collection(request("a", "http://api", header=[{"key": "A", "value": "{{a}}"}])), "{{a}}"),
        (collection(request("a", "http://api", header=[{"key": "A", "value": "{{a}}", "disabled": True}])), None),
        (collection(request("a", "http://api", body={"mode": "raw", "raw": '{"n": "{{n}}"}'})), "{{n}}"),
        (collection(request("a", {"raw": "{{old}}/x", "host": ["{{host}}"], "path": ["x"]})), "{{host}}"),  # type: ignore[arg-type]  # a URL in parts
        (collection(request("a", "http://{{orders_host}}/{{orders_header_X-A}}/{{$guid}}")), None),
        (collection(request("a", "{{host}}"), variable=[{"key": "host", "value": "http://api"}]), None),
        (collection(request("a", "{{host}}"), variable=[{"key": "host", "value": "{{base}}/v1"}]), "{{base}}"),
        (collection(request("a", "{{host}}", before="pm.environment.set('host', 'http://api')")), None),
        (collection(request("a", "{{host}}", 'postman.setEnvironmentVariable("host", "x")')), None),
        (collection(request("a", "{{host}}", "pm.environment.set(name, value)")), None),
        (collection(request("a", "{{page_1}}", 'pm.environment.set("page_" + n, value)')), None),
        (collection(request("a", "{{page_1}}", 'pm.environment.set("page_".concat(n), value)')), None),
        (collection(request("a", "{{page_1}}", 'pm.environment.set( "page_" , value)')), "{{page_1}}"),
    ],
)
def test_variables_that_nothing_fills(content: Any, missing: str | None) -> None:
    """What stands in a request and gets no value is named; what scripts or the collection set has one."""
    looked_at = made(content)
    if missing is None:
        looked_at.require(["orders_host"], ["orders_header_"])
        return
    with pytest.raises(CollectionError) as caught:
        looked_at.require([])
    assert f"nothing fills {missing}; try:" in str(caught.value)


def test_a_folder_is_looked_at_alone() -> None:
    """Only what will run needs values; a folder that is not there is a problem."""
    folder = {"name": "smoke", "item": [request("one", "{{host}}")]}
    content = made(collection(folder, request("two", "{{other}}")))
    content.require(["host"], folder="smoke")
    with pytest.raises(CollectionError, match="there is no folder or request 'load'"):
        content.require([], folder="load")
