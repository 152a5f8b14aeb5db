"""Access logs of gateways, brought back to the Dag runs that made the calls."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, BinaryIO

import msgspec
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from airflow_ephemeral_secrets import _airflow, _settings, timeline
from airflow_ephemeral_secrets.cli.table import render
from airflow_ephemeral_secrets.gateway.log_sources import LogSource
from airflow_ephemeral_secrets.installation import installation
from airflow_ephemeral_secrets.provenance import HEAD, LONGEST_LIFE, Found, Provenance, matched, row
from airflow_ephemeral_secrets.timeline import Wanted

SHOWN = 100


class GatewayLogsOperator(BaseOperator):
    """
    Write one timeline of a gateway's calls: who, which task, which credential, which call, which answer.

    Calls are matched with the audit by correlation id, access key or principal. Calls of others are counted only; calls
    with an identity of ours by no try that is known, and calls without an identity, are listed in the task log.

    :param source: ``CloudWatchLogs``, ``ApigeeLogs``, ``AzureMonitorLogs`` or ``LogFile``
    :param start: the first moment of the window: a ``datetime``, or ISO 8601, of UTC unless it says otherwise
    :param end: the first moment after it
    :param output: where the JSON lines go, as ``ObjectStoragePath`` has it; a file there is replaced
    :param audit: the audit file with its rotated siblings, or a directory of such files; that of this worker's
        configuration if None
    """

    template_fields = ("start", "end", "output_path", "audit")

    def __init__(
        self,
        *,
        source: LogSource,
        start: datetime | str,
        end: datetime | str,
        output: str,
        audit: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.start = start
        self.end = end
        self.output_path = output  # BaseOperator.output is the XCom
        self.audit = audit

    def execute(self, context: Any) -> dict[str, int]:
        """Match the calls of the window, and give how many were matched by what."""
        start, end = _moment(self.start, "start"), _moment(self.end, "end")
        wanted = Wanted(outcome="grant", since=start.timestamp() - LONGEST_LIFE, until=end.timestamp())
        provenance = Provenance(timeline.scan(timeline.files(self._audit_file()), wanted))
        counts: Counter[str] = Counter()
        strangers: list[Found] = []
        tasks: list[Found] = []
        with _replacing(self.output_path) as file:
            for found in matched(self.source.read(start, end), provenance, counts):
                file.write(msgspec.json.encode(found.told()) + b"\n")
                shown = tasks if found.tries else strangers
                if len(shown) < SHOWN:
                    shown.append(found)
        self._tell("calls by tasks", tasks, counts.total())
        self._tell("calls by nobody we know", strangers, counts["nobody"] + counts["unknown"])
        counts.update(audit_malformed=provenance.malformed, audit_forgotten=provenance.forgotten)
        self.log.info("%s", ", ".join(f"{how}: {number}" for how, number in sorted(counts.items())))
        return dict(counts)

    def _tell(self, what: str, shown: list[Found], number: int) -> None:
        if shown:
            first = f", the first {SHOWN}" if len(shown) == SHOWN < number else ""
            self.log.info("%s%s:\n%s", what, first, render(HEAD, [row(found) for found in shown]))

    def _audit_file(self) -> str:
        if self.audit:
            return self.audit
        setting = _settings.worker()
        if setting and setting.ours:
            held = installation(setting.kwargs, _airflow.home(), _airflow.remote_log_conn_id)
            if path := held.resolver().config.audit.file:
                return path
        raise AirflowException("no audit file is known: set audit.file in the configuration, or give audit")


def _moment(given: datetime | str, name: str) -> datetime:
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(given.replace("Z", "+00:00"))
    except ValueError:
        raise AirflowException(f"{name}: {given!r} is no moment; expected ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


@contextmanager
def _replacing(output: str) -> Iterator[BinaryIO]:
    """Write a file beside the one that it replaces at the end, so that a failure loses nothing."""
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(output)
    beside = path.with_name(f"{path.name}.part")
    if path.protocol in ("", "file"):
        os.makedirs(path.parent.path, exist_ok=True)
    try:
        with beside.open("wb") as file:
            yield file
        path.fs.mv(beside.path, path.path)
    except BaseException:
        with suppress(Exception):
            beside.unlink()
        raise
