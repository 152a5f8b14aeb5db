"""The hook at real servers: ids on every request, a pace, checks before anyone sees the response, a trace of it all."""

from __future__ import annotations

import gzip
import json
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.demo.gateways import ProtectedApi
from airflow_ephemeral_secrets.demo.limits import Bucket
from airflow_ephemeral_secrets.gateway import GatewayHook, ResponseChecks, pace
from airflow_ephemeral_secrets.gateway.checks import BadResponse
from airflow_ephemeral_secrets.gateway.hook import GatewayRefused
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn
from tests.peers.rogue import Rogue, flood, reply, response, say

CALLER = Caller(process="task", dag_id="a_dag", run_id="a_run", task_id="a_task", try_number=2, map_index=3)
TOKEN, CANARY = "token-of-the-connection", "canary-of-a-response"
JSON = {"Content_Type": "application/json"}
Make = Callable[..., GatewayHook]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, ram: Path) -> Make:
    """Make a hook for a URL, in a process that speaks for a task and has a directory of its own in RAM."""
    monkeypatch.setattr(_airflow, "caller", lambda *_: CALLER)
    monkeypatch.setattr(pace, "resolvers", tuple)
    monkeypatch.setattr(pace, "places", lambda *_: (str(ram / "leases"),))
    pace._directory.cache_clear()

    def make(url: str, **more: Any) -> GatewayHook:
        extra = {"Authorization": f"Bearer {TOKEN}", "trust_env": False}
        connection = json.dumps({"conn_type": "http", "host": url, "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_API", connection)
        return GatewayHook("api", **more)

    return make


def traces(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    return sorted(found, key=lambda trace: str(trace["time"]))


def test_ids_of_a_request(hook: Make) -> None:
    """Every request names its try of its task in the headers that gateways log, and has a span of its own."""
    with Rogue(reply(b"[]", **JSON)) as server:
        asked = hook(server.url)
        for _ in range(2):
            asked.run("/orders?page=1")
    one, other = ({name.lower(): value for name, value in request.headers.items()} for request in server.requests)
    correlation = CALLER.correlation_id
    assert one["x-correlation-id"] == other["x-correlation-id"] == correlation
    version, trace_id, span_id, flags = one["traceparent"].split("-")
    assert (version, trace_id, flags, one["x-request-id"]) == ("00", correlation, "01", f"{correlation}-{span_id}")
    assert one["traceparent"] != other["traceparent"]
    assert one["authorization"] == f"Bearer {TOKEN}"


def test_headers_of_the_dag_win(hook: Make) -> None:
    """What the Dag names itself stays as it is."""
    with Rogue(reply(b"[]", **JSON)) as server:
        hook(server.url).run("/", headers={"Traceparent": "mine", "x-correlation-id": "mine too"})
    (request,) = server.requests
    assert (request.headers["traceparent"], request.headers["X-Correlation-Id"]) == ("mine", "mine too")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"])
def test_stock_behaviour_stays(hook: Make, method: str) -> None:
    """Methods, parameters, bodies and the response are those of the stock hook."""
    with Rogue(reply(b"" if method == "HEAD" else b'{"a": 1}', **JSON)) as server:
        found = hook(server.url, method=method).run("/x", {"q": "1"})
    (request,) = server.requests
    assert (request.method, request.target) == (method, "/x?q=1" if method == "GET" else "/x")
    assert request.body == (b"" if method in ("GET", "HEAD") else b"q=1")
    assert (found.status_code, found.text) == (200, "" if method == "HEAD" else '{"a": 1}')


def test_refusal_holds_nothing_of_the_body(hook: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A bad status is an error that says code, request id and wait; the body, which the stock hook logs, is nowhere."""
    fault = {"fault": {"faultstring": CANARY, "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"}}}
    headers = {**JSON, "Retry_After": "3", "X_Request_Id": "id-of-the-gateway"}
    with (
        Rogue(reply(json.dumps(fault).encode(), status=429, **headers)) as server,
        pytest.raises(GatewayRefused) as caught,
    ):
        hook(server.url).run("/orders")
    assert str(caught.value) == (
        "GET through connection 'api': the gateway answered 429 policies.ratelimit.SpikeArrestViolation "
        "(request id id-of-the-gateway), and asks for a pause of 3 s"
    )
    assert caught.value.__context__ is None
    assert CANARY not in caplog.text + "".join(traceback.format_exception(caught.value))
    assert TOKEN not in repr(vars(caught.value))


CHUNKED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
QUOTA = b'{"message": "Out of call volume quota. Quota will be replenished in 00:05:00."}'
CHUNKS = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (QUOTA[:40], QUOTA[40:]))


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b""], ids=["whole", "broken off"])
def test_refusal_in_pieces(hook: Make, end: bytes) -> None:
    """A refusal is understood that comes in several chunks, also where the connection breaks before the last."""
    with Rogue(say(CHUNKED + CHUNKS + end)) as server, pytest.raises(GatewayRefused) as caught:
        hook(server.url).run("/orders")
    assert (caught.value.answer.code, caught.value.answer.wait) == ("CallQuotaExceeded", 300.0)


def test_bad_status_that_the_dag_wants_to_see(hook: Make) -> None:
    """``check_response: False`` gives the response of any status, as with the stock hook, and checks only good ones."""
    with Rogue(reply(b"gone", status=410)) as server:
        found = hook(server.url, checks=ResponseChecks()).run("/", extra_options={"check_response": False})
    assert (found.status_code, found.text) == (410, "gone")


def test_bad_response(hook: Make) -> None:
    """A good status with a bad body is an error before anyone sees it."""
    with Rogue(reply(CANARY.encode(), **JSON)) as server, pytest.raises(BadResponse, match="no JSON") as caught:
        hook(server.url, checks=ResponseChecks()).run("/")
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_endless_response(hook: Make) -> None:
    """No more is read of a response than is allowed, however much comes."""
    endless = flood(response(length=1 << 40, **JSON), (b" " * 65_536 for _ in range(10_000)))
    with Rogue(endless) as server, pytest.raises(BadResponse, match="more than 100000 bytes"):
        hook(server.url, checks=ResponseChecks(max_bytes=100_000)).run("/")
    assert server.sent < 64 << 20


def test_compressed_response(hook: Make) -> None:
    """The size counts after decompression: a small body that grows is cut as well."""
    bomb = gzip.compress(bytes(50 << 20))
    with (
        Rogue(reply(bomb, Content_Encoding="gzip", **JSON)) as server,
        pytest.raises(BadResponse, match="more than 1000000 bytes"),
    ):
        hook(server.url, checks=ResponseChecks(max_bytes=1_000_000)).run("/")


def test_streamed_response_is_left_alone(hook: Make, tmp_path: Path) -> None:
    """A Dag that asks for a stream, and for no checks, gets one that nobody has read."""
    with Rogue(reply(b"line\n" * 3)) as server:
        found = hook(server.url, trace=f"file://{tmp_path}").run("/", extra_options={"stream": True})
        assert [*found.iter_lines()] == [b"line"] * 3
    assert traces(tmp_path)[0]["response"] == {"headers": {"content-length": "15"}}


def test_trace(hook: Make, tmp_path: Path) -> None:
    """A trace tells who asked what and what came, by names and numbers: no value of a header, a query or a body."""
    body, answer = {"secret": "in the body"}, b'{"canary": "canary-of-a-response"}'
    with Rogue(reply(answer, X_Request_Id="id-of-it", Set_Cookie="canary=1", **JSON)) as server:
        asked = hook(server.url, method="POST", trace=f"file://{tmp_path}")
        asked.run("/orders?token=query-canary&page=", json.dumps(body), headers={"X-Extra": "header-canary"})
    (path,) = tmp_path.rglob("*.json")
    (trace,) = traces(tmp_path)
    assert path.name == f"{trace['correlation_id']}-{trace['span_id']}.json"
    assert trace["correlation_id"] == CALLER.correlation_id
    assert {name: trace[name] for name in ("conn_id", "method", "path", "query", "status", "outcome", "lease_ids")} == {
        "conn_id": "api",
        "method": "POST",
        "path": "/orders",
        "query": ["token", "page"],
        "status": 200,
        "outcome": "ok",
        "lease_ids": [],
    }
    assert trace["host"] == server.url.removeprefix("http://")
    assert trace["response"]["bytes"] == len(answer)
    assert trace["response"]["headers"]["x-request-id"] == "id-of-it"
    assert len(trace["request"]["sha256"]) == len(trace["response"]["sha256"]) == 64
    assert {"Authorization", "X-Extra"} <= {*trace["request"]["headers"]}
    assert (trace["caller"]["dag_id"], trace["caller"]["map_index"], trace["caller"]["try_number"]) == ("a_dag", 3, 2)
    for hidden in (TOKEN, "canary=1", "canary-of-a-response", "query-canary", "header-canary", "in the body"):
        assert hidden not in path.read_text()


@pytest.mark.parametrize(
    ("script", "checks", "outcome"),
    [
        (reply(b"{}", status=429), None, "GatewayRefused"),
        (reply(b"{", **JSON), ResponseChecks(), "json"),
        (lambda _: None, None, "ConnectionError"),
    ],
)
def test_trace_of_a_failure(hook: Make, tmp_path: Path, script: Any, checks: Any, outcome: str) -> None:
    """A request that fails has its trace as well, which names the cause in a word."""
    with Rogue(script) as server, pytest.raises(Exception):  # noqa: B017, PT011  # each has an error of its own
        hook(server.url, trace=f"file://{tmp_path}", checks=checks).run("/")
    assert traces(tmp_path)[0]["outcome"] == outcome


def test_trace_that_cannot_be_written(hook: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A trace that cannot be written costs a warning, and never the response."""
    with Rogue(reply(b"[]", **JSON)) as server:
        assert hook(server.url, trace="file:///proc/nowhere").run("/").text == "[]"
    assert "a trace could not be written (" in caplog.text


def test_rate_limit(hook: Make) -> None:
    """Requests through one connection keep their distance, whatever hook object sends them."""
    with ProtectedApi("a secret", Bucket(1_000, 1_000)) as api:
        api.issued[TOKEN] = time.time() + 60
        began = time.monotonic()
        for _ in range(4):
            hook(api.url, rate_limit="20/s").run("/orders")
        assert time.monotonic() - began > 0.14


def test_pause_of_a_gateway_is_for_all(hook: Make) -> None:
    """When a gateway asks for a pause, the next request of any task of this host is not sent before its end."""
    with Rogue(reply(b"{}", status=429, Retry_After="30")) as server:
        with pytest.raises(GatewayRefused):
            hook(server.url, rate_limit="1000/s").run("/")
        with pytest.raises(OutOfTurn, match=r"the next is in (29|30)\.\d s"):
            hook(server.url, rate_limit="1000/s", patience=timedelta(seconds=1)).run("/")
        assert len(server.requests) == 1


def test_bad_rate_is_an_error_where_the_dag_is_written() -> None:
    """A rate limit that is none does not wait for the first request."""
    with pytest.raises(ValueError, match="is not a rate"):
        GatewayHook("api", rate_limit="fast")
