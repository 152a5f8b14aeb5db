"""The app behind the page: who may ask, what is found, and that nothing of it can do harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.models import import_all_models
from airflow.models.base import Base
from fastapi.testclient import TestClient

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.leases.lease import LeaseKey
from airflow_ephemeral_secrets.ui import permitted, told
from airflow_ephemeral_secrets.ui.app import HEADERS, make
from tests.leases.made import SECRET, lease

BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
NASTY = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture(scope="module")
def database() -> Iterator[None]:
    """The tables of Airflow's that say which Dag is of which team."""
    import_all_models()
    assert settings.engine
    Base.metadata.create_all(settings.engine)
    yield
    Base.metadata.drop_all(settings.engine)
    settings.engine.dispose()


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def client(
    database: None, tmp_path: Path, ram: Path, audit: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """An administrator of an Airflow whose workers use this backend."""
    config = {"version": 1, "audit": {"file": str(audit)}, "store": {"host": str(ram / "store")}}
    (tmp_path / "ephemeral.json").write_text(json.dumps(config))
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", BACKEND)
    monkeypatch.setenv(
        "AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"config_file": str(tmp_path / "ephemeral.json")})
    )
    create_auth_manager()
    app = make()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="ada", role="ADMIN")
    with TestClient(app) as client:
        yield client
    purge_cached_app()


def as_role(client: TestClient, role: str) -> None:
    client.app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="someone", role=role)  # type: ignore[attr-defined]  # it is a FastAPI


def line(number: int = 0, *, ago: timedelta = timedelta(), **fields: Any) -> str:
    """Write a line of the audit."""
    caller = {"process": "task", "dag_id": "etl", "task_id": "load", "run_id": "r1", "try_number": 1, "map_index": -1}
    time = datetime.now(timezone.utc) - ago - timedelta(seconds=60 - number / 1000)
    fact = {
        "time": time.isoformat(),
        "event": "lookup",
        "outcome": "grant",
        "conn_id": f"c{number}",
        "source": "lake-reader",
        "principal": "assumed-role/reader",
        "lease_id": f"{number:012x}",
        "from": "host",
        "duration_ms": 0.3,
        "expires_at": (time + timedelta(hours=1)).isoformat(),
        **fields,
    }
    return json.dumps({**fact, "caller": {**caller, **fields.get("caller", {})}}) + "\n"


def ask(client: TestClient, **filters: Any) -> list[str]:
    answer = client.get("/events", params=filters)
    assert answer.status_code == 200, answer.text
    return [one["conn_id"] for one in answer.json()["events"]]


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/leases", "/events", "/nothing"])
@pytest.mark.parametrize(("role", "status"), [("VIEWER", 403), ("USER", 403), ("OP", 200), ("ADMIN", 200)])
def test_only_who_may_read_connections(client: TestClient, path: str, role: str, status: int) -> None:
    """Whoever may not read connections sees nothing of the page, not even whether there is such a file."""
    as_role(client, role)
    assert client.get(path).status_code == (404 if (path, status) == ("/nothing", 200) else status)


def test_nobody(client: TestClient) -> None:
    """Without a login nothing is told, and in words for people."""
    client.app.dependency_overrides.clear()  # type: ignore[attr-defined]  # it is a FastAPI
    for path in ("/", "/leases", "/events"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (401, "Log in to Airflow first.")


def test_lines_of_other_peoples_dags(client: TestClient, audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line about a Dag is for those who may read that Dag's audit log; the newest that may be read are shown."""
    audit.write_text("".join(line(n, caller={"dag_id": "mine" if n < 2 else "theirs"}) for n in range(9)))

    class Manager:
        def is_authorized_dag(self, *, method: str, access_entity: Any, details: Any, user: Any) -> bool:
            return (method, access_entity.value, details.id, user.username) == ("GET", "AUDIT_LOG", "mine", "ada")

    monkeypatch.setattr(permitted, "get_auth_manager", Manager)
    assert ask(client, limit=5) == ["c1", "c0"]


def test_newest_first(client: TestClient, audit: Path) -> None:
    """The newest lines come first, as many as were asked for, and the rest is counted."""
    audit.write_text("".join(line(number) for number in range(9)))
    told = client.get("/events", params={"limit": 3}).json()
    assert [one["conn_id"] for one in told["events"]] == ["c8", "c7", "c6"]
    assert told["left_out"] == 6


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["c5", "c4", "c3", "c2", "c0"]),
        ({"dag_id": "other"}, ["c2"]),
        ({"run_id": "r2"}, ["c3"]),
        ({"task_id": "extract", "map_index": 1}, ["c4"]),
        ({"task_id": "extract", "map_index": 0}, []),
        ({"conn_id": "c0"}, ["c0"]),
        ({"lease_id": "000000000004"}, ["c4"]),
        ({"outcome": "deny"}, ["c5"]),
        ({"run_id": "old"}, ["c1"]),
        ({"run_id": "old", "hours": 24}, []),
        ({"hours": 24 * 7}, ["c5", "c4", "c3", "c2", "c0", "c1"]),
        ({"dag_id": "none' OR 1=1"}, []),
    ],
)
def test_filters(client: TestClient, audit: Path, filters: dict[str, Any], found: list[str]) -> None:
    """Each filter finds what fits it; the window is a day, but all of a run or lease that is named."""
    audit.write_text(
        "".join(
            [
                line(1, ago=timedelta(days=3), caller={"run_id": "old"}),
                line(0),
                line(2, caller={"dag_id": "other"}),
                line(3, caller={"run_id": "r2"}),
                line(4, caller={"task_id": "extract", "map_index": 1}),
                line(5, outcome="deny", code="not_allowed", reason="its allow does not name Dag etl"),
            ]
        )
    )
    assert ask(client, **filters) == found


@pytest.mark.parametrize(
    "filters",
    [{"limit": 501}, {"limit": 0}, {"hours": 24 * 32}, {"hours": 0}, {"dag_id": "x" * 251}, {"map_index": "x"}],
)
def test_bounds(client: TestClient, filters: dict[str, Any]) -> None:
    """Nobody can ask for more than a page, a month, or with a name that Airflow itself would not take."""
    assert client.get("/events", params=filters).status_code == 422


def test_texts_are_short(client: TestClient, audit: Path) -> None:
    """Whoever can write into the file cannot make the page hold a megabyte in one cell."""
    audit.write_text(line(reason="x" * 500_000))
    answer = client.get("/events")
    assert len(answer.json()["events"]) == 1
    assert len(answer.content) < 5_000


def test_what_people_write_is_data(client: TestClient, audit: Path) -> None:
    """A name that is markup comes as JSON, of a type that no browser takes for a page."""
    audit.write_text(line(conn_id=NASTY, caller={"dag_id": NASTY}))
    answer = client.get("/events", params={"conn_id": NASTY})
    assert answer.json()["events"][0]["caller"]["dag_id"] == NASTY
    assert answer.headers["content-type"] == "application/json"
    assert NASTY not in client.get("/", params={"conn_id": NASTY}).text


@pytest.mark.parametrize("path", ["/", "/leases", "/events", "/page.js", "/nothing"])
def test_headers(client: TestClient, path: str) -> None:
    """Every answer forbids a browser to load from elsewhere, to show it to another site, to guess, and to keep it."""
    answer = client.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_the_page_needs_nothing_that_the_policy_forbids() -> None:
    """There is neither inline script nor inline style nor a place beyond the app, and no text is set as markup."""
    page, script = (
        files("airflow_ephemeral_secrets.ui").joinpath(name).read_text() for name in ("page.html", "page.js")
    )
    assert not re.search(r"<script(?! src=)|<style| on\w+=| style=|https?:", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\.style\b|https?:", script)
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["page.css", "page.js"]


def test_leases(client: TestClient, tmp_path: Path) -> None:
    """The leases of this host are told, the soonest to end first, without secrets or a principal that names a Dag."""
    now = SYSTEM_CLOCK.now()
    found = Installation({"config_file": str(tmp_path / "ephemeral.json")}, _airflow.home(), lambda: None)
    store = found.open_store()
    assert store
    for number, life in enumerate((900.0, 300.0)):
        store.put(LeaseKey(f"{number}" * 64), lease(f"{SECRET}{number}", life=life, asked=now))
    store.close()
    answer = client.get("/leases")
    told = answer.json()
    assert [round(one["expires_at"] - now.wall) for one in told["leases"]] == [300, 900]
    assert {"host", "user", "now", "store"} <= told.keys()
    assert told["leases"][0].keys() == {"lease_id", "kind", "state", "issued_at", "expires_at"}
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"version": 1, "store": {"host": "off"}}, "The configuration switches the host store off."),
        ({"version": 1, "store": {"host": "/proc/self/nowhere"}}, "no such file or directory"),
        ({"version": 2}, "version: required; the only version is 1"),
    ],
)
def test_no_leases(client: TestClient, tmp_path: Path, config: dict[str, Any], problem: str) -> None:
    """Where there is no store to look at, the page says why."""
    (tmp_path / "ephemeral.json").write_text(json.dumps(config))
    told = client.get("/leases").json()
    assert problem in told["problem"]
    assert told["leases"] == []


def test_no_files(client: TestClient, audit: Path) -> None:
    """Where no worker's file can be seen, none is counted: the page then says how to bring them here."""
    told = client.get("/events").json()
    assert (told["files"], told["seen"], told["events"], told["problem"]) == (str(audit), 0, [], None)


def test_a_directory_of_files(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of several workers that were brought here are read together, wherever Airflow's settings say they are."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for number, host in enumerate(("worker-1", "worker-2")):
        (folder / f"{host}.jsonl").write_text(line(number, host=host))
    monkeypatch.setenv("AIRFLOW__EPHEMERAL_SECRETS__AUDIT_FILES", str(folder))
    found = client.get("/events").json()
    assert [one["host"] for one in found["events"]] == ["worker-2", "worker-1"]
    assert found["seen"] == 2


def test_a_relative_path_starts_at_airflows_home(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that Airflow's settings name starts where all relative paths of ours do."""
    monkeypatch.setenv("AIRFLOW__EPHEMERAL_SECRETS__AUDIT_FILES", "audit")
    assert client.get("/events").json()["files"] == f"{_airflow.home()}/audit"


def test_a_file_that_cannot_be_read(client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that cannot be read is a problem that names it, and no error of the server's."""
    folder = tmp_path / "shipped"
    (folder / "a.jsonl").mkdir(parents=True)
    monkeypatch.setenv("AIRFLOW__EPHEMERAL_SECRETS__AUDIT_FILES", str(folder))
    assert "a.jsonl: is a directory" in client.get("/events").json()["problem"]


def test_no_backend(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Airflow's settings name another backend on this host, both parts of the page say so."""
    monkeypatch.delenv("AIRFLOW__SECRETS__BACKEND")
    for path in ("/leases", "/events"):
        assert "they name no EphemeralSecretsBackend on this host" in client.get(path).json()["problem"]


def test_longest_window() -> None:
    """The page offers no window that the app refuses."""
    page = files("airflow_ephemeral_secrets.ui").joinpath("page.html").read_text()
    offered = [float(hours) for hours in re.findall(r'<option value="(\d+)">', page)]
    assert max(offered) == told.LONGEST_WINDOW
