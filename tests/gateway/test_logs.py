"""Access logs are read where gateways leave them, and become one timeline with the audit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException
from airflow.serialization.serialized_objects import DagSerialization
from moto.server import ThreadedMotoServer

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.gateway import GatewayLogsOperator, log_sources
from airflow_ephemeral_secrets.gateway.hook import GatewayRefused
from airflow_ephemeral_secrets.gateway.log_sources import (
    ApigeeLogs,
    AzureMonitorLogs,
    CloudWatchLogs,
    LogFile,
    LogSource,
)
from tests.peers.rogue import Peer, Rogue, reply, response

START = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
"""CloudWatch Logs takes no events of the future, and no old ones."""
END = START + timedelta(hours=1)
KEY, GROUP, TOKEN = "ASIAIOSFODNN7EXAMPLE", "/aws/apigateway/orders", "canary-token-of-azure-4Jd8"
ARN = "arn:aws:sts::111122223333:assumed-role/airflow-orders/orders"
FACTS = {"dag_id": "orders", "run_id": "run-1", "task_id": "list", "try_number": 1, "map_index": -1}
ID = str(Caller(**FACTS).correlation_id)


def epoch(minutes: float) -> float:
    return (START + timedelta(minutes=minutes)).timestamp()


def call(minutes: float, **more: Any) -> dict[str, Any]:
    return {
        "requestTimeEpoch": int(epoch(minutes) * 1000),
        "httpMethod": "GET",
        "path": "/orders",
        "status": 200,
        **more,
    }


CALLS = [
    call(-1, requestId=ID),
    call(1, requestId=ID),
    call(2, accessKey=KEY),
    call(30, accessKey=KEY),
    call(3, userArn="arn:aws:iam::1:user/other"),
    call(60, requestId=ID),
]
"""Two are outside of the window; one is made after its credential has died; one is made by somebody else."""


@pytest.fixture
def audit(tmp_path: Path) -> str:
    grant = {
        "time": START.isoformat(),
        "event": "lookup",
        "outcome": "grant",
        "conn_id": "orders_api",
        "principal": ARN,
        "access_key_id": KEY,
        "lease_id": "0123456789ab",
        "expires_at": (START + timedelta(minutes=15)).isoformat(),
        "caller": {"process": "task", **FACTS},
    }
    path = tmp_path / "audit.jsonl"
    path.write_text(f"{json.dumps(grant)}\nnonsense\n")
    return str(path)


@pytest.fixture(scope="module")
def cloudwatch() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def run(source: LogSource, audit: str | None, output: Path) -> tuple[dict[str, int], list[dict[str, Any]]]:
    operator = GatewayLogsOperator(
        task_id="logs", source=source, start=START, end=END.isoformat(), output=f"file://{output}", audit=audit
    )
    counts = operator.execute({})
    return counts, [json.loads(line) for line in output.read_text().splitlines()]


def judged(timeline: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(told["how"], (told["caller"] or {}).get("task_id")) for told in timeline]


EXPECTED = [("correlation", "list"), ("access key", "list"), ("nobody", None)]


@pytest.mark.parametrize("packed", [True, False])
def test_a_file(packed: bool, audit: str, tmp_path: Path) -> None:
    """The calls of the window in a file are matched; those of others and malformed lines are counted."""
    path = tmp_path / ("access.log.gz" if packed else "access.log")
    content = "\n".join(map(json.dumps, CALLS)) + "\nnonsense\n"
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    counts, timeline = run(LogFile(f"file://{path}"), audit, tmp_path / "made" / "timeline.jsonl")
    assert judged(timeline) == EXPECTED
    assert timeline[0]["conn_ids"] == ["orders_api"]
    assert timeline[0]["lease_ids"] == ["0123456789ab"]
    assert {"correlation": 1, "access key": 1, "nobody": 1, "other": 1, "malformed": 1}.items() <= counts.items()
    assert counts["audit_malformed"] == 1


def test_what_apigee_exports(audit: str, tmp_path: Path) -> None:
    """Lines of the MessageLogging policy, as Cloud Logging exports them, are calls."""
    payload = {"verb": "GET", "uri": "/v1/orders", "status": "200", "traceparent": f"00-{ID}-00f067aa0ba902b7-01"}
    exported = {"timestamp": (START + timedelta(minutes=1)).isoformat(), "jsonPayload": payload}
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported) + "\n")
    _, timeline = run(ApigeeLogs(f"file://{path}"), audit, tmp_path / "timeline.jsonl")
    assert [(told["gateway"], told["path"], told["how"]) for told in timeline] == [
        ("apigee", "/v1/orders", "correlation")
    ]


def test_cloudwatch(cloudwatch: str, audit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events of a log group in the window are read page by page."""
    connection = {
        "conn_type": "aws",
        "login": "AKIAIOSFODNN7EXAMPLE",
        "password": "a-secret-access-key",
        "extra": {"region_name": "eu-west-1", "endpoint_url": cloudwatch},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_LOGS", json.dumps(connection))
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "a-secret-access-key"}
    client = boto3.client("logs", region_name="eu-west-1", endpoint_url=cloudwatch, **keys)
    client.create_log_group(logGroupName=GROUP)
    client.create_log_stream(logGroupName=GROUP, logStreamName="stream")
    more = [call(4 + n / 10_000, requestId=ID) for n in range(12_000)]
    for some in (CALLS, more[:6000], more[6000:]):
        events = [{"timestamp": one["requestTimeEpoch"], "message": json.dumps(one)} for one in some]
        events.sort(key=lambda event: event["timestamp"])
        client.put_log_events(logGroupName=GROUP, logStreamName="stream", logEvents=events)
    counts, timeline = run(CloudWatchLogs(GROUP, "aws_logs"), audit, tmp_path / "timeline.jsonl")
    assert (counts["correlation"], counts["access key"], counts["nobody"], counts["other"]) == (12_001, 1, 1, 1)
    assert {told["gateway"] for told in timeline} == {"api gateway"}


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rogue], AzureMonitorLogs]:
    def source(api: Rogue) -> AzureMonitorLogs:
        connection = {"conn_type": "http", "host": api.url, "extra": {"Authorization": f"Bearer {TOKEN}"}}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_LOGS", json.dumps(connection))
        return AzureMonitorLogs("w/1", "azure_logs")

    return source


PARTIAL = {"code": "PartialError", "message": "There were some errors when processing your query."}


def kusto(peer: Peer, most: int = 1000) -> None:
    """
    Answer as Log Analytics does: the rows of the window that the query names, and no more than it takes.

    :param most: rows of an answer; of more a part is given, beside an error (Log Analytics API, response format)
    """
    query = json.loads(peer.read().body)["query"]
    since, until = (datetime.fromisoformat(part.partition(")")[0]) for part in query.split("datetime(")[1:])
    headers = json.dumps({"traceparent": f"00-{ID}-00f067aa0ba902b7-01"})
    times = [START + timedelta(minutes=n) for n in range(-5, 65)]
    rows = [
        [at.isoformat(), "GET", "https://api/orders?k=1", 200, 12, "apim-1", headers]
        for at in times
        if since <= at < until
    ]
    columns = ["TimeGenerated", "Method", "Url", "ResponseCode", "TotalTime", "CorrelationId", "RequestHeaders"]
    table = {
        "name": "PrimaryResult",
        "columns": [{"name": name, "type": "string"} for name in columns],
        "rows": rows[: int(query.rpartition("take ")[2])],
    }
    cut = {"error": PARTIAL} if len(table["rows"]) > most else {}
    answer = {"tables": [{**table, "rows": table["rows"][:most]}], **cut}
    peer.send(response(json.dumps(answer).encode(), Content_Type="application/json; charset=utf-8"))


@pytest.mark.parametrize(("limit", "most", "asked"), [(100, 1000, 1), (20, 1000, 7), (100, 20, 7)])
def test_azure_monitor(
    azure: Callable[[Rogue], AzureMonitorLogs],
    audit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    most: int,
    asked: int,
) -> None:
    """A window is asked for whole, or in halves where an answer would be too large or is partial; no call is lost."""
    monkeypatch.setattr(log_sources, "ROWS", limit)
    with Rogue(partial(kusto, most=most)) as api:
        counts, timeline = run(azure(api), audit, tmp_path / "timeline.jsonl")
    assert counts["correlation"] == 60
    assert len({told["time"] for told in timeline}) == 60
    assert {told["path"] for told in timeline} == {"/orders"}
    assert len(api.requests) == asked
    request = api.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/workspaces/w%2F1/query")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("limit", "most", "told"), [(0, 1000, "more than 0 calls at 20"), (100, 0, "a partial answer for the calls at 20")]
)
def test_what_cannot_be_split(
    azure: Callable[[Rogue], AzureMonitorLogs], monkeypatch: pytest.MonkeyPatch, limit: int, most: int, told: str
) -> None:
    """A window that cannot be split any more is an error, rather than a timeline with holes."""
    monkeypatch.setattr(log_sources, "ROWS", limit)
    with Rogue(partial(kusto, most=most)) as api, pytest.raises(AirflowException, match=told):
        list(azure(api).read(START, END))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(b'{"error": {"message": "canary-body"}}', status=403), GatewayRefused),
        (reply(b'{"tables": []}', Content_Type="application/json"), AirflowException),
    ],
)
def test_a_refusal_loses_nothing(
    azure: Callable[[Rogue], AzureMonitorLogs], audit: str, tmp_path: Path, answer: Any, kind: type[Exception]
) -> None:
    """A failure leaves the timeline of before, and tells nothing of the answer."""
    output = tmp_path / "timeline.jsonl"
    output.write_text("the timeline of before\n")
    with Rogue(answer) as api, pytest.raises(kind) as caught:
        run(azure(api), audit, output)
    assert "canary-body" not in str(caught.value)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["audit.jsonl", "timeline.jsonl"]
    assert output.read_text() == "the timeline of before\n"


def test_the_audit_file_is_that_of_the_configuration(
    audit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is given, the audit file of this worker's configuration is read; where there is none, it says so."""
    path = tmp_path / "access.log"
    path.write_text(json.dumps(CALLS[1]) + "\n")
    with pytest.raises(AirflowException, match="no audit file is known"):
        run(LogFile(f"file://{path}"), None, tmp_path / "timeline.jsonl")
    config = {"version": 1, "sources": {}, "connections": {}, "audit": {"file": audit}}
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND", "airflow_ephemeral_secrets.EphemeralSecretsBackend")
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS", json.dumps({"config": config}))
    counts, _ = run(LogFile(f"file://{path}"), None, tmp_path / "timeline.jsonl")
    assert counts["correlation"] == 1


def test_a_moment_is_checked(audit: str) -> None:
    """A window that is no window is refused before anything is read."""
    operator = GatewayLogsOperator(
        task_id="logs", source=LogFile("file:///none"), start="tomorrow", end=END, output="/none", audit=audit
    )
    with pytest.raises(AirflowException, match="start: 'tomorrow' is no moment"):
        operator.execute({})


def test_dags_are_serialised() -> None:
    """Dags with it, also mapped, become what the scheduler keeps, the same each time."""
    source = CloudWatchLogs(GROUP)

    def made() -> str:
        with DAG("logs") as dag:
            GatewayLogsOperator(task_id="one", source=source, start="{{ ds }}", end="{{ ds }}", output="/x")
            mapped = GatewayLogsOperator.partial(task_id="each", source=source, start="{{ ds }}", end="{{ ds }}")
            mapped.expand(output=["/x", "/y"])
        return json.dumps(DagSerialization.to_dict(dag))

    assert made() == made()
