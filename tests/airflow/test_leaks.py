"""The leak oracle: nothing minted stands anywhere that Airflow writes, while what leaks on purpose is found."""

from __future__ import annotations

import configparser
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_ephemeral_secrets import timeline
from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.api import OrdersApi
from airflow_ephemeral_secrets.demo.cloud import REGION, Cloud
from airflow_ephemeral_secrets.demo.environment import scrubbed
from airflow_ephemeral_secrets.demo.leaks import Finding, Search
from airflow_ephemeral_secrets.demo.proofs import minted_secrets
from airflow_ephemeral_secrets.gatewaylog import entry
from airflow_ephemeral_secrets.provenance import Provenance
from tests.airflow.leak_dags.leaking import SINKS, canary, plain
from tests.airflow.sinks import Listening, PostgresMetadata, Sampling, search_files
from tests.peers.installed import node, npm
from tests.peers.postgresql import Database, PostgreSql
from tests.peers.rogue import Peer, Rogue, reply, response

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]

DAGS = Path(__file__).parent / "leak_dags"
TOKEN, CLIENT_SECRET, PASSWORD, KEY = (f"{secrets.token_urlsafe(24)}/with+odd=characters" for _ in range(4))
API_TOKEN = "of-no-interest-here"
GRANT = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}).encode()
BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
BUSY = reply(b'{"token": "of no interest"}', status=429, Retry_After="2")
STEPS = (
    "call",
    "call_deferred",
    "gateway",
    "sense",
    "sense_deferred",
    "list",
    "query",
    "collection",
    "monitor",
    "careless",
)


class Run(NamedTuple):
    """
    An Airflow in which all ran.

    :param found: who was found where: by the name of the secret, the places
    :param waited: what was stored while tasks waited in the triggerer
    """

    airflow: Airflow
    found: dict[str, set[str]]
    minted: dict[str, str]
    waited: list[str]


def postman(peer: Peer) -> None:
    """Answer for a monitor that has run once more whenever it is looked at."""
    request = peer.read()
    assert request.headers["X-API-Key"] == KEY
    stats = {"assertions": {"total": 1, "failed": 0}, "requests": {"total": 1}}
    run = {"status": "success", "startedAt": str(time.time()), "finishedAt": str(time.time()), "stats": stats}
    peer.send(response(json.dumps({"monitor": {"lastRun": run}}).encode()))


def config(
    folder: Path, store: Path, home: Path, aws: Cloud, token_url: str, apis: Mapping[str, str], database: Database
) -> str:
    (folder / "client-secret").write_text(CLIENT_SECRET)
    (folder / "password").write_text(database.password)
    (folder / "postman-key").write_text(KEY)
    return json.dumps(
        {
            "version": 1,
            "secrets": {
                name: {"from": "file", "path": str(folder / name)}
                for name in ("client-secret", "password", "postman-key")
            },
            "sources": {
                "orders": {
                    "kind": "oauth2",
                    "token_url": f"{token_url}/token",
                    "client_id": "airflow",
                    "client_secret": {"secret": "client-secret"},
                },
                "lake": {
                    "kind": "aws_assume_role",
                    "role_arn": "arn:aws:iam::123456789012:role/airflow-lake_inventory",
                    "region": REGION,
                    "endpoint_url": aws.endpoint_url,
                },
                "db": {"kind": "static", "username": database.role, "password": {"secret": "password"}},
                "postman": {"kind": "static", "token": {"secret": "postman-key"}},
            },
            "connections": {
                "orders": {"source": "orders", "shape": "http", "host": apis["orders"]},
                "postman": {
                    "source": "postman",
                    "shape": "http",
                    "host": apis["postman"],
                    "header": "X-API-Key",
                    "prefix": "",
                },
                "busy": {"source": "orders", "shape": "http", "host": apis["busy"]},
                "lake": {
                    "source": "lake",
                    "shape": "aws",
                    "region": REGION,
                    "extra": {"endpoint_url": aws.endpoint_url},
                },
                "db": {
                    "source": "db",
                    "shape": "fields",
                    "conn_type": "postgres",
                    "host": database.host,
                    "port": database.port,
                    "schema": database.name,
                    "login": "{username}",
                    "password": "{password}",
                },
            },
            "variables": {"API_TOKEN": {"source": "orders", "value": "{token}"}},
            "store": {"host": str(store)},
            "audit": {"file": str(home / "audit.jsonl")},
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the clean and the leaky Dag in one Airflow on PostgreSQL, and search everything for both."""
    folder, began = tmp_path_factory.mktemp("secrets"), time.time()
    with ExitStack() as stack:
        stack.enter_context(scrubbed())
        postgresql = stack.enter_context(PostgreSql())
        own = PostgresMetadata(postgresql.database("airflow", role="airflow", password="airflow-of-the-leak-tests"))
        database = postgresql.database("shop", role="reader", password=PASSWORD)
        aws = stack.enter_context(Cloud(API_TOKEN))
        tokens = stack.enter_context(Rogue(reply(GRANT)))
        api = stack.enter_context(OrdersApi(TOKEN))
        monitors = stack.enter_context(Rogue(postman))
        busy = stack.enter_context(Rogue(BUSY, reply(b"[1]", Content_Type="application/json")))
        listening = stack.enter_context(Listening())
        environment = {
            **aws.worker_environment,
            "NODE_PATH": str(npm("newman").parent),
            "PATH": f"{Path(node()).parent}:{os.environ['PATH']}",
            "STATSD_PORT": str(listening.statsd_port),
        }
        airflow = stack.enter_context(
            Airflow([DAGS], environment=environment, metadata=own, options=listening.options, triggerer=True)
        )
        store = Path("/dev/shm") / airflow.home.name
        store.mkdir(0o700)
        stack.callback(_remove, store)
        path = airflow.home / "ephemeral.json"
        apis = {"orders": api.url, "busy": busy.url, "postman": monitors.url}
        path.write_text(config(folder, store, airflow.home, aws, tokens.url, apis, database))
        kwargs = json.dumps({"config_file": path.name})
        with Sampling(airflow) as sampling:
            airflow.start(
                {
                    "workers": {"secrets_backend": BACKEND, "secrets_backend_kwargs": kwargs},
                    "secrets": {"backend": BACKEND, "backend_kwargs": kwargs},
                }
            )
            own.witness()
            leak = ["connections", "add", "leak", "--conn-type", "http", "--conn-password"]
            assert airflow.run(*leak, canary("metadata connection"), timeout=180).returncode == 0
            airflow.wait(["clean", "leaky"], timeout=240, parsed=False)
        minted = {"token": TOKEN, **minted_secrets(aws.issued())}
        leaked = {sink: (plain if sink in ("lineage", "statsd") else canary)(sink) for sink in SINKS}
        looked_for = {**minted, "client secret": CLIENT_SECRET, "password": PASSWORD, "postman key": KEY}
        search = Search({**looked_for, **{f"leak {sink}": secret for sink, secret in leaked.items()}})
        of_tests = tmp_path_factory.getbasetemp()
        besides = (store, of_tests, *of_tests.parents, postgresql.folder, airflow.home)
        found = _search(search, airflow, own, listening, sampling, began, besides)
        yield Run(airflow, _by_secret(found), minted, own.waited_with(_fernet_key(airflow)))


def _remove(store: Path) -> None:
    shutil.rmtree(store)
    for folder in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        for leaked in folder.glob("airflow-ephemeral-leak-*"):
            leaked.unlink()


def _search(
    search: Search,
    airflow: Airflow,
    metadata: PostgresMetadata,
    listening: Listening,
    sampling: Sampling,
    began: float,
    besides: tuple[Path, ...],
) -> set[Finding]:
    cells = metadata.cells(_fernet_key(airflow))
    found = {finding for table, cell in cells for finding in search.content(f"metadata {table}", cell)}
    found |= {finding._replace(where=f"logs {finding.where}") for finding in search.tree(airflow.logs)}
    found |= {finding._replace(where=f"home {finding.where}") for finding in search.tree(airflow.home)}
    for name, root in (("tmp", tempfile.gettempdir()), ("shm", "/dev/shm")):
        files = search_files(search, Path(root), began, besides)
        found |= {finding._replace(where=f"{name} {finding.where}") for finding in files}
    for name, contents in (*sampling.seen.items(), ("lineage", listening.events), ("statsd", listening.packets)):
        found |= {finding for content in list(contents) for finding in search.content(name, content)}
    return found


def _fernet_key(airflow: Airflow) -> str:
    settings = configparser.RawConfigParser()
    settings.read(airflow.home / "airflow.cfg")
    return settings["core"]["fernet_key"]


def _by_secret(found: set[Finding]) -> dict[str, set[str]]:
    return {name: {one.where for one in found if one.secret == name} for name in {one.secret for one in found}}


@pytest.mark.parametrize("task_id", STEPS)
def test_stock_tasks_ran_on_minted_credentials(run: Run, task_id: str) -> None:
    """The search means something only if every stock operator really used what was minted."""
    states = {task.task_id: task.state for task in run.airflow.metadata.tasks() if task.dag_id == "clean"}
    assert states[task_id] == "success", run.airflow.task_log("clean", task_id)


def test_nothing_leaked(run: Run) -> None:
    """No secret of the clean Dag stands in any place, in any encoding."""
    assert len(run.minted) > 2
    assert {name: places for name, places in run.found.items() if not name.startswith("leak ")} == {}


@pytest.mark.parametrize("sink", SINKS)
def test_what_leaks_on_purpose_is_found(run: Run, sink: str) -> None:
    """The search is not blind: the one secret that was leaked in each place is found there."""
    place = sink.partition(" ")[0]
    assert any(where.startswith(place) for where in run.found.get(f"leak {sink}", ())), run.found


def test_traces_and_triggers_were_searched(run: Run) -> None:
    """The gateway's task and the collection left a trace of each call; what waited did so with names and numbers."""
    traces = [json.loads(path.read_text()) for path in (run.airflow.home / "traces").rglob("*.json")]
    assert {trace["outcome"] for trace in traces} == {"GatewayRefused", "ok"}
    assert {trace["caller"]["task_id"] for trace in traces} == {"gateway"}
    assert all(len(trace["lease_ids"]) == 1 for trace in traces)
    assert any("DateTimeTrigger" in cell for cell in run.waited)
    assert any("waited" in cell and "pauses" in cell for cell in run.waited)
    assert any("PostmanMonitorTrigger" in cell for cell in run.waited)
    assert len(list((run.airflow.home / "collection-traces").rglob("*.json"))) == 2


def test_one_id_joins_the_gateway_and_the_audit(run: Run) -> None:
    """What a gateway logs of a call leads by the audit to the try of the task that made it, and to its lease."""
    known = Provenance(timeline.scan(timeline.files(str(run.airflow.home / "audit.jsonl")), timeline.Wanted()))
    calls = [json.loads(path.read_text()) for path in (run.airflow.home / "collection-traces").rglob("*.json")]
    logged = [{"time": time.time(), "status": 200, "X-Correlation-Id": call["correlation_id"]} for call in calls]
    found = [known.match(entry(json.dumps(line), "gateway") or pytest.fail(str(line))) for line in logged]
    assert [one.how for one in found] == ["correlation"] * 2
    tries = [one.tries[0] for one in found]
    assert {(made.who.dag_id, made.who.task_id, *made.conn_ids) for made in tries} == {
        ("clean", "collection", "orders")
    }
    assert all(made.lease_ids for made in tries)
    assert known.malformed == 0
