"""
Proof of life: stock hooks work through several lifetimes of their tokens, and a revocation, with one lookup each.

In a real Airflow, in tasks and in the triggerer, of two Dags at once. A row of the table is a conn_id; what works with
it stands in ``life_dags/life.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow
from tests.airflow.conftest import BACKEND
from tests.airflow.living import Issuer, Places, Visit
from tests.live.gateways import Gateway

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]

DAGS = Path(__file__).parent / "life_dags"
LIFE = 5
SECONDS = 3.4 * LIFE
REGION = "eu-west-1"
PROCESSES = ("task", "trigger")


class Servers(NamedTuple):
    """
    Who issues, and who judges.

    :param serve: starts a gateway for the length of the run, by what judges there
    """

    issuer: Issuer
    places: Places
    serve: Callable[[Any], str]


class Row(NamedTuple):
    """The configuration of a conn_id: its source and its connection, whose source is filled in."""

    source: dict[str, Any]
    connection: dict[str, Any]


def http(servers: Servers) -> Row:
    source = {
        "kind": "oauth2",
        "token_url": f"{servers.serve(servers.issuer.tokens)}/token",
        "client_id": "airflow",
        "client_auth": "none",
    }
    return Row(source, {"shape": "http", "live": True, "host": servers.serve(servers.places.bearer())})


def http_sigv4(servers: Servers) -> Row:
    host = servers.serve(servers.places.signed(f"{REGION}/execute-api"))
    return Row(_role(servers), {"shape": "http_sigv4", "region": REGION, "host": host})


def aws(servers: Servers) -> Row:
    s3 = servers.serve(servers.places.signed(f"{REGION}/s3", revoke=False))
    return Row(_role(servers), {"shape": "aws", "live": True, "region": REGION, "extra": {"endpoint_url": s3}})


def _role(servers: Servers) -> dict[str, Any]:
    return {
        "kind": "aws_assume_role",
        "role_arn": "arn:aws:iam::111122223333:role/reader",
        "region": REGION,
        "endpoint_url": servers.serve(servers.issuer.sts),
    }


ROWS: dict[str, Callable[[Servers], Row]] = {"http": http, "http_sigv4": http_sigv4, "aws": aws}
LED = ("http", "http_sigv4")
"""Those whose requests go through the process that asks, which sees a credential rejected; others are given it."""
DAG_ROWS = {"one": tuple(ROWS), "other": LED}
WORKERS = [(dag_id, row, process) for dag_id, rows in DAG_ROWS.items() for row in rows for process in PROCESSES]
LED_WORKERS = [worker for worker in WORKERS if worker[1] in LED]


class Run(NamedTuple):
    """What became of it all."""

    airflow: Airflow
    visits: dict[str, list[Visit]]
    audit: list[dict[str, Any]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with ExitStack() as stack:
        issuer = Issuer(LIFE)
        places = Places(issuer, SECONDS)
        rows = {
            name: make(Servers(issuer, places, lambda judge: stack.enter_context(Gateway(judge)).url))
            for name, make in ROWS.items()
        }
        environment = {
            "LIFE": json.dumps([DAG_ROWS, SECONDS]),
            "AWS_ACCESS_KEY_ID": "AKIAOFTHEWORKER",
            "AWS_SECRET_ACCESS_KEY": "of-the-worker",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        airflow = stack.enter_context(Airflow([DAGS], environment=environment, triggerer=True, parallelism=10))
        audit = airflow.home / "audit.jsonl"
        document = {
            "version": 1,
            "sources": {name: {**row.source, "attribution": "run"} for name, row in rows.items()},
            "connections": {name: {**row.connection, "source": name} for name, row in rows.items()},
            "audit": {"file": str(audit)},
            "network": {"deadline": "60s"},
        }
        kwargs = json.dumps({"config": document})
        patient = {"execution_api_timeout": "60"}  # a server that is starting may take its time on a busy machine
        airflow.start({"workers": {"secrets_backend": BACKEND, "secrets_backend_kwargs": kwargs, **patient}})
        airflow.wait(DAG_ROWS, timeout=240)
        failed = [task for task in airflow.metadata.tasks() if task.state != "success"]
        assert not failed, "\n".join(airflow.task_error(task.dag_id, task.task_id) for task in failed)
        yield Run(airflow, places.visits, [json.loads(line) for line in audit.read_text().splitlines()])


@pytest.mark.parametrize(("dag_id", "row", "process"), WORKERS)
def test_works_through_several_lifetimes(run: Run, dag_id: str, row: str, process: str) -> None:
    """One lookup serves for over three lifetimes, with a credential that is dead at not one moment of its use."""
    states = {(task.dag_id, task.task_id): task.state for task in run.airflow.metadata.tasks()}
    visits = run.visits[f"{dag_id}/{row}/{process}"]

    assert states[dag_id, f"{row}_{process}"] == "success", run.airflow.task_log(dag_id, f"{row}_{process}")
    assert visits[-1].moment - visits[0].moment > 3 * LIFE
    assert len({visit.credential for visit in visits}) > 3
    assert len(visits) > 20


@pytest.mark.parametrize("row", [row for row in ROWS if row not in LED])
def test_nothing_is_rejected(run: Run, row: str) -> None:
    """A client that is given its credentials never bears a dead one."""
    assert not any(visit.rejected for process in PROCESSES for visit in run.visits[f"one/{row}/{process}"])


@pytest.mark.parametrize(("dag_id", "row", "process"), LED_WORKERS)
def test_revocation_costs_one_request(run: Run, dag_id: str, row: str, process: str) -> None:
    """After a revocation in the middle, the very request that met it goes on with another credential."""
    visits = run.visits[f"{dag_id}/{row}/{process}"]
    rejected = [number for number, visit in enumerate(visits) if visit.rejected]

    assert len(rejected) <= 1
    for number in rejected:
        assert not visits[number + 1].rejected
        assert visits[number + 1].credential != visits[number].credential


@pytest.mark.parametrize("row", LED)
@pytest.mark.parametrize("dag_id", DAG_ROWS)
def test_revocation_costs_one_mint(run: Run, dag_id: str, row: str) -> None:
    """Task and triggerer share what is minted: one revoked credential is taken back, for both."""
    mine = {line["lease_id"] for line in mints(run, dag_id, row)}
    taken_back = [
        line["lease_id"] for line in run.audit if line["event"] == "invalidation" and line["lease_id"] in mine
    ]
    visits = [visit for process in PROCESSES for visit in run.visits[f"{dag_id}/{row}/{process}"]]

    assert len(set(taken_back)) == 1  # with a line from each process, where both hold it
    assert sum(visit.rejected for visit in visits) in (1, 2)
    assert len(mine) >= len({visit.credential for visit in visits})


@pytest.mark.parametrize("row", LED)
@pytest.mark.parametrize("process", PROCESSES)
def test_mints_name_whom_they_are_for(run: Run, row: str, process: str) -> None:
    """What a place mints names the run of the lookup that opened it, also where one triggerer serves two."""
    runs = {line["run_id"] for dag_id in DAG_ROWS for line in callers(mints(run, dag_id, row), process)}

    assert len(runs) == len(DAG_ROWS)
    for dag_id in DAG_ROWS:
        for caller in callers(mints(run, dag_id, row), process):
            assert caller["task_id"] in (f"{row}_{process}", f"{row}_trigger")  # which looks once before it is deferred


@pytest.mark.parametrize(("dag_id", "row", "process"), WORKERS)
def test_lines_are_few(run: Run, dag_id: str, row: str, process: str) -> None:
    """A place writes a line for each lease that it uses, not for each request."""
    told = [line for line in run.audit if line["event"] == "lookup" and line["conn_id"] == row]
    mine = [c for c in callers(told, process) if (c["dag_id"], c["task_id"]) == (dag_id, f"{row}_{process}")]

    assert len(mine) < len(run.visits[f"{dag_id}/{row}/{process}"]) / 2


def mints(run: Run, dag_id: str, row: str) -> list[dict[str, Any]]:
    lines = [line for line in run.audit if line["event"] == "mint" and line["conn_id"] == row]
    return [line for line in lines if line["caller"]["dag_id"] == dag_id]


def callers(lines: list[dict[str, Any]], process: str) -> list[dict[str, Any]]:
    return [line["caller"] for line in lines if line["caller"]["process"] == process]
