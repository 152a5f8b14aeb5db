"""
WireMock, which answers as scripted and keeps a journal; here it plays Azure's instance metadata service.

.. code-block:: python

    def test_waits(wiremock: WireMock) -> None:  # a fixture: one server for the session, blank for each test
        wiremock.script(imds(THROTTLED, GRANTED))
        ...  # ask wiremock.url, as AZURE_POD_IDENTITY_AUTHORITY_HOST
        assert [request.query["resource"] for request in wiremock.requests] == ["https://vault.azure.net"] * 2

Any other stub works too: ``script`` takes what WireMock's admin API takes. What matches no stub is answered with 404.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from tests.peers.client import ask
from tests.peers.installed import java, npm
from tests.peers.process import Process

Stub = Mapping[str, Any]
READY = r"port: +(\d+)"
FAST_START = "-XX:TieredStopAtLevel=1"

# Answers of the instance metadata service, as its documents have them.
TOKEN = {
    "access_token": "minted.by.imds",
    "client_id": "a5a3c0de-0000-4000-8000-00000000abcd",
    "expires_in": "86399",
    "expires_on": "4102444799",
    "ext_expires_in": "86399",
    "not_before": "1700000000",
    "resource": "https://vault.azure.net",
    "token_type": "Bearer",
}
GRANTED: Stub = {"status": 200, "jsonBody": TOKEN}
NOT_FOUND: Stub = {
    "status": 400,
    "jsonBody": {"error": "invalid_request", "error_description": "Identity not found"},
}
THROTTLED: Stub = {"status": 429, "headers": {"Retry-After": "1"}, "jsonBody": {"error": "Too Many Requests"}}
GONE: Stub = {"status": 410, "jsonBody": {"error": "gone", "error_description": "IMDS is going through updates"}}
UNAVAILABLE: Stub = {"status": 503, "jsonBody": {"error": "service_unavailable"}}
SYSTEM_ASSIGNED: Stub = {name: {"absent": True} for name in ("client_id", "object_id", "mi_res_id", "msi_res_id")}


@dataclass(frozen=True)
class Received:
    """One request as it arrived; names of headers are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


class WireMock:
    """Serve while the block lasts."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> WireMock:
        (jar,) = npm("wiremock").glob("build/wiremock-standalone-*.jar")
        options = ["--port", "0", "--bind-address", "127.0.0.1", "--disable-banner"]
        command = [java(), FAST_START, "-jar", str(jar), *options]
        self.process = self._stack.enter_context(Process(command, ready=READY))
        self.url = f"http://127.0.0.1:{self.process.said[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def script(self, stubs: Sequence[Stub]) -> None:
        """Add stubs: of those that match a request, the last answers."""
        for stub in stubs:
            answer = ask("POST", f"{self.url}/__admin/mappings", json=stub)
            assert answer.status == 201, answer.data

    def reset(self) -> None:
        """Forget all stubs and requests."""
        assert ask("POST", f"{self.url}/__admin/reset").status == 200

    @property
    def requests(self) -> list[Received]:
        """The requests so far, oldest first."""
        journal = ask("GET", f"{self.url}/__admin/requests").json()["requests"]
        return [_received(entry["request"]) for entry in reversed(journal)]


def imds(*answers: Stub, query: Mapping[str, Any] = SYSTEM_ASSIGNED) -> list[Stub]:
    """
    Script the instance metadata service: these answers one after the other, the last again and again.

    :param query: what else must be asked, as WireMock's ``queryParameters``; by default the system-assigned identity
    """
    request = {
        "method": "GET",
        "urlPath": "/metadata/identity/oauth2/token",
        "headers": {"Metadata": {"equalTo": "true"}},
        "queryParameters": {"api-version": {"equalTo": "2018-02-01"}, "resource": {"matches": ".+"}, **query},
    }
    name = f"turns {uuid4()}"
    states = ["Started", *map(str, range(1, len(answers)))]
    turns = zip(answers, states, [*states[1:], states[-1]], strict=True)
    return [
        {
            "request": request,
            "response": answer,
            "scenarioName": name,
            "requiredScenarioState": here,
            "newScenarioState": there,
        }
        for answer, here, there in turns
    ]


def _received(entry: Mapping[str, Any]) -> Received:
    url = urlsplit(entry["url"])
    headers = {name.lower(): value for name, value in entry["headers"].items()}
    return Received(entry["method"], url.path, dict(parse_qsl(url.query)), headers, entry["body"])
