"""Lines of access logs, as the gateways write them, become the same facts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets.gatewaylog import LONGEST_LINE, Entry, entry

ID = "0af7651916cd43dd8448eb211c80319c"
UUID = "0af76519-16cd-43dd-8448-eb211c80319c"
NOON = 1_800_014_400.0
KEY = "ASIAIOSFODNN7EXAMPLE"
ARN = "arn:aws:sts::111122223333:assumed-role/airflow-orders/orders.list"

API_GATEWAY = {
    "requestId": UUID,
    "extendedRequestId": "JKJaXmPLvHcESHA=",
    "requestTime": "15/Jan/2027:12:00:00 +0000",
    "requestTimeEpoch": "1800014400000",
    "httpMethod": "GET",
    "path": "/prod/orders",
    "resourcePath": "/orders/{id}",
    "status": "429",
    "responseLatency": "12",
    "userArn": ARN,
    "accessKey": KEY,
    "caller": "-",
}
APIGEE = {
    "insertId": "abc",
    "receiveTimestamp": "2027-01-15T12:00:03.1Z",
    "timestamp": "2027-01-15T12:00:00.000000123Z",
    "jsonPayload": {
        "verb": "GET",
        "uri": "/v1/orders?apikey=secret-in-a-query",
        "status": "429",
        "duration": "12",
        "traceparent": f"00-{ID}-00f067aa0ba902b7-01",
        "client_id": "app-1",
    },
}
API_MANAGEMENT = {
    "TimeGenerated": "2027-01-15T12:00:00Z",
    "Method": "GET",
    "Url": "https://acme.azure-api.net/v1/orders?key=secret-in-a-query",
    "ResponseCode": 429,
    "TotalTime": 12,
    "CorrelationId": "5d1f7c1e-1111-4222-8333-444455556666",
    "ApimSubscriptionId": "orders",
    "RequestHeaders": json.dumps({"traceparent": f"00-{ID}-00f067aa0ba902b7-01"}),
}
XRAY = {"time": NOON, "status": 429, "method": "GET", "url": "/a", "xrayTraceId": f"1-{ID[:8]}-{ID[8:]}"}
CLF = f'10.0.0.1 AROAEXAMPLE:orders user [15/Jan/2027:12:00:00 +0000] "GET /orders?q=1 HTTP/1.1" 429 13 {UUID}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            API_GATEWAY,
            {"path": "/prod/orders", "request_id": "JKJaXmPLvHcESHA=", "identity": ARN, "access_key_ids": (KEY,)},
        ),
        (APIGEE, {"path": "/v1/orders", "identity": "app-1", "duration_ms": 12.0}),
        (API_MANAGEMENT, {"path": "/v1/orders", "identity": "orders", "request_id": API_MANAGEMENT["CorrelationId"]}),
        (XRAY, {"path": "/a"}),
        (CLF, {"path": "/orders", "identity": "AROAEXAMPLE:orders"}),
    ],
    ids=["API Gateway", "Apigee", "API Management", "X-Ray", "CLF"],
)
def test_lines_of_gateways(line: Any, expected: dict[str, Any]) -> None:
    """Time, method, path, status and ids are found whatever they are called, and queries stay behind."""
    found = entry(line if isinstance(line, str) else json.dumps(line), "gateway")
    assert found
    assert (found.gateway, found.time, found.method, found.status) == ("gateway", NOON, "GET", 429)
    assert ID in found.ids
    assert {name: getattr(found, name) for name in expected} == expected
    assert "secret-in-a-query" not in repr((found.path, found.identity))


def test_a_value_can_be_compared() -> None:
    """Whole values are kept, to compare them with principals."""
    found = entry(json.dumps(APIGEE), "apigee")
    assert found
    assert {"app-1", "GET"} <= found.words


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1_800_014_400, NOON),
        ("1800014400.5", NOON + 0.5),
        (1_800_014_400_000, NOON),
        (1_800_014_400_000_000, NOON),
        (1_800_014_400_000_000_000, NOON),
        ("2027-01-15T13:00:00+01:00", NOON),
        ("2027-01-15 12:00:00", NOON),
        ("yesterday", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("9999-12-31T23:59:59.999999Z", None),
        (True, None),
        (-5, None),
        ("9" * 400, None),
    ],
)
def test_times(time: Any, expected: float | None) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds, ISO 8601 of any zone; what is no time makes no call."""
    found = entry(json.dumps({"time": time, "status": 200}), "gateway")
    assert (found and found.time) == expected


def test_a_line_without_a_time_has_that_of_its_event() -> None:
    """Where the store of the log dates its events, a line need not."""
    found = entry('{"status": 200}', "gateway", moment=NOON)
    assert found
    assert found.time == NOON


@pytest.mark.parametrize(
    "line",
    ["", "{", "nonsense", '{"time": 1}', '{"status": 200}', "[1]", '{"a":' * 2000, "x" * (LONGEST_LINE + 1), "\ud800{"],
)
def test_what_is_no_call(line: str) -> None:
    """A line that is none of an access log is none, whatever it holds."""
    assert entry(line, "gateway") is None


@given(
    st.one_of(
        st.text(),
        st.recursive(
            st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ).map(json.dumps),
    )
)
def test_no_line_breaks_it(line: str) -> None:
    """Any text is read or left."""
    assert isinstance(entry(line, "gateway", 1.0), Entry | None)
