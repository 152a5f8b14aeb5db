"""The ids of a request, where each gateway logs them."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.gateway.correlation import Correlation, span

CALLER = Caller(process="task", dag_id="a_dag", run_id="a_run", task_id="täsk\n")
EVERYWHERE = {"traceparent", "X-Correlation-Id", "X-Request-Id"}


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("api.example.com", set()),
        ("abc.execute-api.eu-west-1.amazonaws.com", {"x-amzn-RequestId", "X-Amzn-Trace-Id"}),
        ("acme.azure-api.net", {"x-ms-client-request-id"}),
        ("storage.googleapis.com", {"x-goog-request-reason"}),
        ("googleapis.com.example.org", set()),
        ("127.0.0.1", {"x-amzn-RequestId", "X-Amzn-Trace-Id", "x-ms-client-request-id"}),
    ],
)
def test_headers(host: str, more: set[str]) -> None:
    """Every gateway gets the common ones, and its own where its host tells it; one behind a live connection, all."""
    correlation = Correlation(CALLER)
    headers = correlation.headers(host, "0123456789abcdef")
    assert headers.keys() == EVERYWHERE | more
    for name in more & {"x-amzn-RequestId", "x-ms-client-request-id"}:
        assert UUID(headers[name]).hex == correlation.id
    assert all(value.isascii() and value.isprintable() for value in headers.values())


def test_same_try_same_id() -> None:
    """It is that of the audit lines of the same try; outside of a task it is drawn at random."""
    assert Correlation(CALLER).id == Correlation(CALLER).id == CALLER.correlation_id
    one, other = (Correlation(Caller()).id for _ in range(2))
    assert one != other
    assert re.fullmatch("[0-9a-f]{32}", one)


def test_spans() -> None:
    """A span is 16 hex digits, other ones each time."""
    assert len({span() for _ in range(100)}) == 100
    assert re.fullmatch("[0-9a-f]{16}", span())
