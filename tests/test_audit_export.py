"""Audit lines for syslog and for OpenTelemetry: sent at once or not at all."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from airflow_ephemeral_secrets.audit_export import SCOPE, OpenTelemetry, Syslog
from airflow_ephemeral_secrets.demo.environment import allowed
from tests.peers.rogue import Rogue, reply

LINE = b'{"event":"mint","conn_id":"100% lake"}'


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as syslog daemons have it, whose backlog is soon full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "log"))
        made.settimeout(5)
        yield made


def test_line_reaches_the_socket(tmp_path: Path, daemon: socket.socket) -> None:
    """A line is one datagram with its priority, our name and the JSON as it is."""
    with closing(Syslog(str(tmp_path / "log"), "authpriv")) as syslog:
        syslog.write(LINE)
    assert daemon.recv(4096) == b"<86>airflow-ephemeral: " + LINE + b"\0"


@pytest.mark.parametrize("family", ["127.0.0.1", "[::1]"])
def test_line_reaches_a_port(family: str) -> None:
    """With an address and a port a line goes there by UDP."""
    version = socket.AF_INET6 if "[" in family else socket.AF_INET
    with socket.socket(version, socket.SOCK_DGRAM) as made:
        made.bind((family.strip("[]"), 0))
        made.settimeout(5)
        with closing(Syslog(f"{family}:{made.getsockname()[1]}", "local3")) as syslog:
            syslog.write(LINE)
        assert made.recv(4096) == b"<158>airflow-ephemeral: " + LINE + b"\0"


@pytest.mark.usefixtures("daemon")
def test_daemon_that_is_stuck_is_not_waited_for(tmp_path: Path) -> None:
    """A daemon that reads nothing costs lines, and no time."""
    with closing(Syslog(str(tmp_path / "log"), "user")) as syslog, pytest.raises(BlockingIOError):
        deque((syslog.write(LINE * 50) for _ in range(10_000)), maxlen=0)


def test_daemon_that_comes_late_is_found(tmp_path: Path) -> None:
    """While nobody listens lines are lost; once someone does they arrive, also after a restart."""
    path = tmp_path / "log"
    with closing(Syslog(str(path), "auth")) as syslog:
        with pytest.raises(OSError, match="No such file"):
            syslog.write(LINE)
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
                made.bind(str(path))
                made.settimeout(5)
                syslog.write(LINE)
                assert LINE in made.recv(4096)
            path.unlink()


EMIT = f"""
from airflow_ephemeral_secrets.audit_export import OpenTelemetry
sink = OpenTelemetry()
for _ in range(3):
    sink.write({LINE!r})
"""


def emit(endpoint: str, **more: str) -> subprocess.CompletedProcess[str]:
    variables = {**allowed(), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **more}
    command = [sys.executable, "-W", "error", "-c", EMIT]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_lines_reach_a_collector() -> None:
    """A process that ends at once still sends its lines, by OTLP over HTTP, to where the usual variable says."""
    with Rogue(reply(b"", status=200)) as collector:
        done = emit(collector.url)
    assert (done.returncode, done.stderr) == (0, "")
    request = ExportLogsServiceRequest.FromString(collector.requests[0].body)
    (logs,) = request.resource_logs[0].scope_logs
    assert logs.scope.name == SCOPE
    assert [record.body.string_value for record in logs.log_records] == [LINE.decode()] * 3


def test_collector_that_is_away_is_not_waited_for() -> None:
    """A collector that nobody runs costs the end of a process two seconds at most, and no lookup anything."""
    done = emit("http://127.0.0.1:9")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "100"}, "its SDK raised ValueError; try: the OTEL_* variables"),
        ({"OTEL_PYTHON_LOGGER_PROVIDER": "unknown"}, "its SDK raised StopIteration; try: the OTEL_* variables"),
    ],
)
def test_settings_that_its_sdk_cannot_use(setting: dict[str, str], told: str) -> None:
    """A pipeline that does not start costs each line, as one that is missing, and says where to look."""
    done = emit("http://127.0.0.1:9", **setting)
    assert done.returncode == 1
    assert f"OSError: {told}" in done.stderr


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry's packages each line is lost, which says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry._logs", None)
    with pytest.raises(OSError, match=r"airflow-ephemeral-secrets\[otel\]"):
        OpenTelemetry().write(LINE)


def test_pipeline_of_the_process_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process has a log pipeline already, lines go there."""
    import opentelemetry._logs
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    provider, kept = LoggerProvider(shutdown_on_exit=False), InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    monkeypatch.setattr(opentelemetry._logs, "get_logger_provider", lambda: provider)
    OpenTelemetry().write(LINE)
    (told,) = kept.get_finished_logs()
    assert json.loads(told.log_record.body) == json.loads(LINE)
