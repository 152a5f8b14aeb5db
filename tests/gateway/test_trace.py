"""Traces are written by fsspec, with masks over them, within bounds, and never at the cost of a request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from airflow.sdk.log import mask_secret

from airflow_ephemeral_secrets.gateway import trace
from airflow_ephemeral_secrets.gateway.trace import LARGEST, Trace

LOST = "a trace could not be written ({}); the request is not affected"


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file system that does not answer."""
    released = threading.Event()
    monkeypatch.setattr(trace, "_write", lambda *_: released.wait(30))
    monkeypatch.setattr(trace, "PATIENCE", 0.05)
    yield
    released.set()


def written(root: str) -> dict[str, Any]:
    (path,) = fsspec.filesystem("memory").glob(f"{root}/**/*.json")
    return {"path": path, **json.loads(fsspec.filesystem("memory").cat(path))}


def test_object_store() -> None:
    """A path of any file system that fsspec knows, and a folder for the day."""
    root = f"/{uuid4()}"
    Trace(f"memory:/{root}").write("id-span", {"status": 200, "query": ["page"]})
    found = written(root)
    assert found["path"].endswith("/id-span.json")
    assert (found["status"], found["query"]) == (200, ["page"])


def test_masks_lie_over_it() -> None:
    """What Airflow masks in a log is masked here, such as a secret in a path."""
    secret, root = f"secret-{uuid4()}", f"/{uuid4()}"
    mask_secret(secret)
    Trace(f"memory:/{root}").write("name", {"path": f"/hooks/{secret}/send"})
    assert written(root)["path"] == "/hooks/***/send"


def test_too_large(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A trace beyond all measure is not written."""
    Trace(f"file://{tmp_path}").write("name", {"path": "x" * LARGEST})
    assert LOST.format("ValueError") in caplog.text
    assert [*tmp_path.iterdir()] == []


@pytest.mark.usefixtures("stuck")
def test_slow_store(caplog: pytest.LogCaptureFixture) -> None:
    """A store that does not answer is waited for so long, and no longer."""
    Trace("memory://slow").write("name", {})
    assert LOST.format("TimeoutError") in caplog.text


@pytest.mark.parametrize("path", ["nosuchprotocol://bucket/x", "file:///proc/nowhere"])
def test_no_such_store(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A path that leads nowhere costs a warning, which does not repeat it."""
    Trace(path).write("name", {})
    assert "the request is not affected" in caplog.text
    assert path not in caplog.text
