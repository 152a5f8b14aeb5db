"""A hundred mapped tasks in a real Airflow, at a gateway of 10 requests a second that pauses first."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from airflow_ephemeral_secrets.demo import config
from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.environment import scrubbed
from airflow_ephemeral_secrets.demo.gateways import ProtectedApi
from airflow_ephemeral_secrets.demo.limits import Bucket, Every, Pause
from benchmarks.figure import Figure
from benchmarks.host import folder_in_ram

TASKS = 100
RATE, BURST = 10, 5
PAUSE = 30.0
"""Seconds from its first call in which the gateway lets nobody through, as when others have used up a quota."""
PARALLELISM = 16
TIMEOUT = 600.0
DAGS = ("stock", "policy", "paced")
SECRET = "secret-of-the-client"


class Run(NamedTuple):
    """What the gateway saw of a Dag run, and how many of its tasks succeeded."""

    succeeded: int
    requests: int
    let_through: int
    busiest: int
    busiest_after: int

    def __str__(self) -> str:
        each = f"{self.per_success:.2f} requests for each success"
        return f"{self.succeeded} of {TASKS} tasks succeeded, {each}, at most {self.busiest} in a second"

    @property
    def per_success(self) -> float:
        return self.requests / max(1, self.let_through)


def figures() -> Iterator[Figure]:
    stock, policy, paced = _runs()
    tasks = (
        f"{TASKS} mapped tasks, {PARALLELISM} at a time, at a gateway that pauses for {PAUSE:.0f} s and says so, "
        f"and then allows {RATE} requests a second, {BURST} at once"
    )
    yield Figure(
        f"{tasks}: GatewayOperator, rate_limit and GatewayRetryPolicy",
        str(paced),
        f"all, at most 1.3; stock HttpOperator, 3 retries after 5 s: {stock}",
        paced.succeeded == TASKS and paced.per_success <= 1.3,
    )
    yield Figure(
        f"{tasks}: stock HttpOperator and GatewayRetryPolicy",
        str(policy),
        "all tasks",
        policy.succeeded == TASKS,
    )
    yield Figure(
        f"{tasks}: requests in the busiest second after the pause, with a rate limit",
        str(paced.busiest_after),
        f"at most {RATE + 2}",
        paced.busiest_after <= RATE + 2,
    )


def _runs() -> list[Run]:
    with ExitStack() as stack:
        stack.enter_context(scrubbed())
        store = stack.enter_context(folder_in_ram())
        gateways = {name: stack.enter_context(_gateway()) for name in DAGS}
        folder = Path(__file__).parent / "gateway_dags"
        airflow = stack.enter_context(Airflow([folder], environment={"CLIENT_SECRET": SECRET}, parallelism=PARALLELISM))
        path = airflow.home / "ephemeral.json"
        path.write_text(_config(gateways, store))
        airflow.start(config.options(path))
        return [_run(airflow, name, gateways[name]) for name in DAGS]


def _gateway() -> ProtectedApi:
    return ProtectedApi(SECRET, Every(Pause(PAUSE), Bucket(RATE, BURST)))


def _config(gateways: dict[str, ProtectedApi], store: Path) -> str:
    source = {"kind": "oauth2", "client_id": "airflow", "client_secret": {"secret": "client"}}
    return json.dumps(
        {
            "version": 1,
            "secrets": {"client": {"from": "env", "name": "CLIENT_SECRET"}},
            "sources": {name: {**source, "token_url": f"{api.url}/token"} for name, api in gateways.items()},
            "connections": {name: {"source": name, "shape": "http", "host": api.url} for name, api in gateways.items()},
            "store": {"host": str(store)},
        }
    )


def _run(airflow: Airflow, dag_id: str, gateway: ProtectedApi) -> Run:
    """Run a Dag to its end; how it ends is a figure, not an error."""
    triggered = airflow.run("dags", "trigger", dag_id, timeout=120)
    assert triggered.returncode == 0, triggered.stdout + triggered.stderr
    airflow.wait([dag_id], TIMEOUT)
    succeeded = sum(task.dag_id == dag_id and task.state == "success" for task in airflow.metadata.tasks())
    moments = [line.moment for line in gateway.log]
    reopened = min(moments) + PAUSE
    return Run(
        succeeded,
        len(moments),
        gateway.statuses().count(200),
        _busiest(moments),
        _busiest([moment for moment in moments if moment > reopened]),
    )


def _busiest(moments: list[float]) -> int:
    """Count the most requests in any second."""
    moments = sorted(moments)
    return max((bisect_left(moments, start + 1) - at for at, start in enumerate(moments)), default=0)
