"""Files with access logs, whatever their layout."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from airflow_ephemeral_secrets import logfile
from airflow_ephemeral_secrets.gatewaylog import LONGEST_LINE, Entry

CALLS = [{"time": 1_800_014_400 + n, "status": 200, "path": f"/{n}"} for n in range(3)]
LINES = "\n".join(map(json.dumps, CALLS))
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRANSACTION = {
    "completed": True,
    "point": [
        {"id": "Paused"},
        {
            "id": "StateChange",
            "results": [
                {"ActionResult": "DebugInfo", "timestamp": "15-01-27 12:00:00:250", "properties": {"property": []}},
                {
                    "ActionResult": "RequestMessage",
                    "verb": "GET",
                    "uRI": "/v1/orders?apikey=abc",
                    "headers": [
                        {"name": "traceparent", "value": f"00-{TRACE}-00f067aa0ba902b7-01"},
                        {"name": "Authorization", "value": "Bearer secret"},
                    ],
                },
            ],
        },
        {
            "id": "Execution",
            "results": [
                {
                    "ActionResult": "VariableAccess",
                    "properties": {"property": [{"name": "client_id", "value": "app-1"}]},
                }
            ],
        },
        {"id": "StateChange", "results": [{"ActionResult": "ResponseMessage", "statusCode": "429"}]},
    ],
}


def read(content: str | bytes) -> list[Entry | None]:
    return list(logfile.entries(io.BytesIO(content if isinstance(content, bytes) else content.encode()), "gateway"))


@pytest.mark.parametrize(
    "content",
    [LINES, f"\n\n{LINES}\n\n", json.dumps(CALLS), json.dumps(CALLS, indent=2), LINES.replace("\n", "\r\n")],
    ids=["lines", "empty lines", "array", "array in lines", "CRLF"],
)
def test_layouts(content: str) -> None:
    """JSON lines and JSON arrays hold the same calls."""
    assert [found and found.path for found in read(content)] == ["/0", "/1", "/2"]


@pytest.mark.parametrize("content", [TRANSACTION, [TRANSACTION]])
@pytest.mark.parametrize("indent", [None, 2])
def test_debug_sessions_of_apigee(content: Any, indent: int | None) -> None:
    """A transaction of a debug session is a call; of its headers only those that name a request are looked at."""
    (found,) = read(json.dumps(content, indent=indent))
    assert found
    assert (found.time, found.method, found.path, found.status) == (1_800_014_400.25, "GET", "/v1/orders", 429)
    assert (found.ids, found.identity) == ((TRACE,), "app-1")
    assert "Bearer secret" not in found.words


@pytest.mark.parametrize("bad", ["{", "nonsense", "[1, 2", '{"a": 1}', "x" * (3 * LONGEST_LINE)])
@pytest.mark.parametrize("first", [True, False])
def test_malformed_lines(bad: str, first: bool) -> None:
    """A malformed line costs itself alone, wherever it stands and however long it is."""
    found = read(f"{bad}\n{LINES}" if first else f"{LINES}\n{bad}")
    assert [one.path for one in found if one] == ["/0", "/1", "/2"]
    assert found.count(None) == 1


@pytest.mark.parametrize(("content", "least"), [(LINES + "\n" + LINES, 3), (json.dumps(CALLS, indent=2), 0)])
def test_an_archive_that_breaks_off(content: str, least: int) -> None:
    """Calls before the place where an archive breaks off are read, and that it does is counted."""
    with gzip.open(io.BytesIO(gzip.compress(content.encode())[:-12])) as file:
        found = list(logfile.entries(file, "gateway"))
    assert found[-1] is None
    assert len([one for one in found if one]) >= least


def test_an_array_of_junk() -> None:
    """What is no call in an array is none."""
    assert read('[1, "a", null, {"point": [1, {"results": [2]}]}]') == [None] * 4
    assert read('[{"point": [{"results": [{"ActionResult": "RequestMessage", "headers": 5}]}]}]') == [None]


def test_an_empty_file() -> None:
    """A file without anything has no calls."""
    assert read("") == []


def test_a_large_document_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document over the limit is read as lines, of which none is a call."""
    monkeypatch.setattr(logfile, "LARGEST_DOCUMENT", 100)
    assert set(read(json.dumps(CALLS, indent=2))) == {None}
