"""What is measured is what the page and the dashboard say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import EphemeralSecretsError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import Held
from airflow_ephemeral_secrets.telemetry import COUNTERS, GAUGES, PREFIX, TIMERS
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.counted import Counted
from tests.resolving import CALLER, resolver

DOCS = Path(__file__).parents[1] / "docs"
ALL = {**COUNTERS, **TIMERS, **GAUGES}


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    """What is counted while everything happens that can."""
    counted, clock, source = Counted(), FakeClock(), FakeSource()
    asked = resolver(telemetry=counted, clock=clock, source=source, audit=tmp_path)
    held = [asked.connection("api", CALLER) for _ in range(2)]
    assert all(held)
    with pytest.raises(EphemeralSecretsError):
        asked.connection("api", Caller(process="server"))
    recipe = asked.config.connections.match("api")
    assert recipe
    (lease,) = asked.leases.leases().values()
    with asked.audit.request(CALLER, "api", recipe) as event:
        event.granted(Held(lease, "host"))
    clock.advance(870)
    source.raises.append(SourceRefused("no"))
    asked.connection("api", CALLER)
    for error in (SourceUnavailable("no"), SourceFailed("no", code="timeout")):
        with pytest.raises(EphemeralSecretsError):
            resolver(telemetry=counted, raises=error).connection("api", CALLER)
    return counted


def test_each_metric_is_emitted(counted: Counted) -> None:
    """No metric is documented that nothing emits, and none emitted that is not documented."""
    assert {*counted.counted, *counted.times, *counted.gauges} == set(ALL)


def test_tags_are_bounded(counted: Counted) -> None:
    """A metric is told apart by what the configuration names, and by nothing that a Dag or a provider makes up."""
    fine = {"recipe": "api", "source": "fake", "kind": "fake"}
    assert {name: tags for name, tags in counted.tags.items() if tags != fine} == {"audit.lost": {}}


def test_mint_names_its_lease_or_its_code(counted: Counted) -> None:
    """Each mint is a span, with its lease id if it came to one, else with the code of the error."""
    assert [set(span) - {"name", "recipe", "source", "kind"} for span in counted.spans] == [
        {"lease_id"},
        {"code"},
        {"code"},
        {"code"},
    ]


def test_page_lists_all_metrics() -> None:
    """The page has each metric with its very description."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    assert dict(rows) == ALL


def test_dashboard_shows_what_is_measured() -> None:
    """Every metric that the dashboard asks for is one that is emitted, and none is left out."""
    dashboard: Mapping[str, object] = json.loads((DOCS / "grafana-dashboard.json").read_text())
    shown = set(re.findall(rf"airflow_{PREFIX}_(\w+?)(?=[\[{{)])", json.dumps(dashboard)))
    assert shown == {name.replace(".", "_") for name in ALL}
