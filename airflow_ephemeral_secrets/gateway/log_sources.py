"""Where access logs of gateways are read from: each gives the calls of a window of time, one at a time."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from airflow.sdk.exceptions import AirflowException
from msgspec import Struct

from airflow_ephemeral_secrets import logfile
from airflow_ephemeral_secrets.gatewaylog import Entry, entry

ROWS = 10_000
LARGEST_ANSWER = 64 << 20
SHORTEST_WINDOW = timedelta(milliseconds=10)


class LogSource(Protocol):
    """Read the calls of a window."""

    def read(self, start: datetime, end: datetime) -> Iterator[Entry | None]:
        """Give the calls from ``start`` to before ``end``, and None for each line that is no call."""
        ...


class LogFile(Struct, frozen=True):
    """
    A file: JSON lines, a JSON array, the Common Log Format, or a debug session of Apigee's; compressed or not.

    :param path: as Airflow's ``ObjectStoragePath`` has it
    :param gateway: its name in the timeline
    """

    path: str
    gateway: str = "file"

    def read(self, start: datetime, end: datetime) -> Iterator[Entry | None]:
        """Read the file, and leave out what is outside of the window."""
        from airflow.sdk import ObjectStoragePath

        since, until = start.timestamp(), end.timestamp()
        unpacked = gzip.open if self.path.endswith(".gz") else nullcontext
        with ObjectStoragePath(self.path).open("rb") as raw, unpacked(raw) as file:
            for one in logfile.entries(file, self.gateway):
                if one is None or since <= one.time < until:
                    yield one


class ApigeeLogs(LogFile, frozen=True):
    """
    What Apigee logged: lines of its MessageLogging policy as Cloud Logging exports them, or debug sessions.

    :param path: as Airflow's ``ObjectStoragePath`` has it
    """

    gateway: str = "apigee"


class CloudWatchLogs(Struct, frozen=True):
    """
    The log group to which a stage of API Gateway writes its access log.

    :param log_group: its name
    :param aws_conn_id: may ``logs:FilterLogEvents`` there
    :param region: where the connection does not say
    :param filter_pattern: of CloudWatch Logs, to read less
    """

    log_group: str
    aws_conn_id: str | None = "aws_default"
    region: str | None = None
    filter_pattern: str = ""

    def read(self, start: datetime, end: datetime) -> Iterator[Entry | None]:
        """Read the events of the window, page by page."""
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

        client = AwsBaseHook(aws_conn_id=self.aws_conn_id, client_type="logs", region_name=self.region).get_conn()
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=self.log_group,
            startTime=int(start.timestamp() * 1000),
            endTime=int(end.timestamp() * 1000) - 1,
            filterPattern=self.filter_pattern,
        )
        for page in pages:
            for event in page["events"]:
                yield entry(event["message"], "api gateway", event["timestamp"] / 1000)


class AzureMonitorLogs(Struct, frozen=True):
    """
    The gateway log of an API Management service, in a Log Analytics workspace.

    :param workspace_id: its id
    :param http_conn_id: to ``https://api.loganalytics.azure.com``, with a Bearer token for its ``.default`` scope
    :param table: that the diagnostic setting writes to
    """

    workspace_id: str
    http_conn_id: str
    table: str = "ApiManagementGatewayLogs"

    def read(self, start: datetime, end: datetime) -> Iterator[Entry | None]:
        """
        Ask for the window; where it has more rows than one answer should, or gets, for each of its halves.

        :raises AirflowException: when the API's answer is none, or not the whole of a window that cannot be split
        """
        rows = self._ask(start, end)
        if rows is not None and len(rows) <= ROWS:
            yield from (entry(msgspec.json.encode(row).decode(), "api management") for row in rows)
            return
        if end - start < SHORTEST_WINDOW:
            told = "a partial answer for the" if rows is None else f"more than {ROWS}"
            raise AirflowException(f"{self.table}: {told} calls at {start.isoformat()}, which cannot be split")
        middle = start + (end - start) / 2
        yield from self.read(start, middle)
        yield from self.read(middle, end)

    def _ask(self, start: datetime, end: datetime) -> list[dict[str, Any]] | None:
        """Give the rows of a window, or None where the answer is partial: 200, with an error beside the rows."""
        from airflow_ephemeral_secrets.gateway.checks import ResponseChecks
        from airflow_ephemeral_secrets.gateway.hook import GatewayHook

        hook = GatewayHook(self.http_conn_id, "POST", checks=ResponseChecks(max_bytes=LARGEST_ANSWER))
        response = hook.run(
            f"/v1/workspaces/{quote(self.workspace_id, safe='')}/query",
            data=msgspec.json.encode({"query": self._query(start, end)}),
            headers={"Content-Type": "application/json"},
        )
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except msgspec.DecodeError:
            answer = _Answer()
        if answer.error is not None:
            return None
        if not answer.tables:
            raise AirflowException(f"{self.table}: the answer has no table")
        table = answer.tables[0]
        names = [column.name for column in table.columns]
        return [dict(zip(names, row, strict=False)) for row in table.rows]

    def _query(self, start: datetime, end: datetime) -> str:
        since, until = (one.astimezone(timezone.utc).isoformat() for one in (start, end))
        return (
            f"{self.table} | where TimeGenerated >= datetime({since}) and TimeGenerated < datetime({until})"
            " | project TimeGenerated, Method, Url, ResponseCode, TotalTime, CorrelationId, ApimSubscriptionId,"
            f" RequestHeaders | order by TimeGenerated asc | take {ROWS + 1}"
        )


class _Column(Struct):
    name: str


class _Table(Struct):
    columns: list[_Column]
    rows: list[list[Any]]


class _Answer(Struct):
    tables: list[_Table] = []
    error: Any = None
