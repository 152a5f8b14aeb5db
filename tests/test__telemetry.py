"""Airflow's own metrics and traces: what leaves the process, in each way Airflow can be told to send it."""

from __future__ import annotations

import contextvars
import gc
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk.configuration import conf
from airflow.sdk.observability.metrics import stats_utils
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_ephemeral_secrets import _telemetry
from airflow_ephemeral_secrets._telemetry import AirflowTelemetry
from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.errors import SourceRefused
from airflow_ephemeral_secrets.telemetry import COUNTERS, GAUGES, TIMERS
from tests.peers.rogue import Rogue, reply
from tests.resolving import CALLER, resolver


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Let each test find the stats for itself."""
    _telemetry._stats.cache_clear()
    yield
    _telemetry._stats.cache_clear()


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A StatsD server, which Airflow is told of."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
        yield server
        if stats := _telemetry._stats():
            monkeypatch.undo()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # Airflow's client never closes its socket
                _telemetry._initialize(stats, stats_utils.get_stats_factory, conf)
                gc.collect()


def heard(server: socket.socket, count: int) -> list[str]:
    return sorted(server.recv(4096).decode() for _ in range(count))


def test_lookup_is_counted_by_statsd(statsd: socket.socket) -> None:
    """A lookup that mints, and one from memory, arrive at the server Airflow is told of, with their tags."""
    asked = resolver(telemetry=AirflowTelemetry())
    for _ in range(2):
        asked.connection("api", CALLER)
    names = [line.partition(":")[0] for line in heard(statsd, 8)]
    tags = "kind=fake,recipe=api,source=fake"
    assert [name.partition(",")[0].removeprefix("airflow.ephemeral_secrets.") for name in names] == [
        "lease.seconds_to_expiry",
        "lease.seconds_to_expiry",
        "lookup.duration",
        "lookup.duration",
        "lookup.memory",
        "lookup.minted",
        "mint.duration",
        "mint.granted",
    ]
    assert {",".join(sorted(name.split(",")[1:])) for name in names} == {tags}


@pytest.mark.parametrize("name", [*COUNTERS, *TIMERS, *GAUGES])
def test_every_metric_has_a_name_airflow_takes(statsd: socket.socket, name: str) -> None:
    """Each documented metric arrives under its name: Airflow drops those it finds too long or odd."""
    telemetry = AirflowTelemetry()
    if name in COUNTERS:
        telemetry.count(name, {})
    elif name in TIMERS:
        telemetry.time(name, 1.5, {})
    else:
        telemetry.gauge(name, 2.5, {})
    kind = "c" if name in COUNTERS else "ms" if name in TIMERS else "g"
    (line,) = heard(statsd, 1)
    assert (line.partition(":")[0], line.rpartition("|")[2]) == (f"airflow.ephemeral_secrets.{name}", kind)


COUNT = """
from airflow_ephemeral_secrets._telemetry import AirflowTelemetry
telemetry, tags = AirflowTelemetry(), {"source": "lake-reader"}
telemetry.count("lookup.memory", tags)
telemetry.time("lookup.duration", 1.5, tags)
telemetry.gauge("lease.seconds_to_expiry", 900.0, tags)
"""


def test_lookup_is_counted_by_opentelemetry(tmp_path: Path) -> None:
    """With Airflow's OpenTelemetry metrics on, ours reach the collector at the end of the process, with their tags."""
    with Rogue(reply(b"")) as collector:
        switches = {"AIRFLOW__METRICS__OTEL_ON": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        environment = {**allowed(), **switches, "AIRFLOW_HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", COUNT], env=environment, check=True, capture_output=True, timeout=100)
    sent = [ExportMetricsServiceRequest.FromString(request.body) for request in collector.requests]
    told = {
        metric.name: getattr(metric, metric.WhichOneof("data")).data_points[0].attributes[0].value.string_value
        for request in sent
        for scope in request.resource_metrics[0].scope_metrics
        for metric in scope.metrics
    }
    names = ("lookup.memory", "lookup.duration", "lease.seconds_to_expiry")
    assert told == {f"airflow.ephemeral_secrets.{name}": "lake-reader" for name in names}


def test_nothing_is_loaded_where_metrics_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting that switches metrics on, Airflow's stats are not even imported."""
    monkeypatch.setitem(sys.modules, "airflow.sdk.observability.stats", None)
    AirflowTelemetry().count("lookup.memory", {})
    assert _telemetry._stats() is None


def test_broken_metrics_cost_no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with metrics, the lookup is answered."""
    monkeypatch.setattr(_telemetry, "_stats", object)
    assert resolver(telemetry=AirflowTelemetry()).connection("api", CALLER)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """A process that traces."""
    provider, kept = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return kept


def test_mint_is_a_span_below_that_of_the_task(spans: InMemorySpanExporter) -> None:
    """A mint, though it runs in a thread of its own, is traced below the current span, and names its lease."""

    def task() -> None:
        with trace.get_tracer("test").start_as_current_span("worker.a_task"):
            resolver(telemetry=AirflowTelemetry()).connection("api", CALLER)

    contextvars.Context().run(task)
    mint, parent = spans.get_finished_spans()
    assert (mint.name, mint.parent and mint.parent.span_id) == ("ephemeral_secrets.mint", parent.context.span_id)
    assert dict(mint.attributes or {}) == {
        "ephemeral_secrets.recipe": "api",
        "ephemeral_secrets.source": "fake",
        "ephemeral_secrets.kind": "fake",
        "ephemeral_secrets.lease_id": (mint.attributes or {})["ephemeral_secrets.lease_id"],
    }


@pytest.mark.parametrize("error", [SourceRefused("canary", code="AccessDenied"), ValueError("canary")])
def test_failed_mint_tells_its_code_and_no_more(spans: InMemorySpanExporter, error: Exception) -> None:
    """The span of a failed mint has the error's code; the text of an exception, an SDK's above all, is not in it."""
    with pytest.raises(Exception, match=r"."):
        resolver(telemetry=AirflowTelemetry(), raises=error).connection("api", CALLER)
    (mint,) = spans.get_finished_spans()
    assert "canary" not in mint.to_json()
    if isinstance(error, SourceRefused):
        assert (mint.attributes or {})["ephemeral_secrets.code"] == "AccessDenied"
