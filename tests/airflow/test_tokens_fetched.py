"""
Stock hooks that fetch their tokens themselves work through several of their lifetimes, with one lookup each.

In a real Airflow, in tasks and in the triggerer: those of Azure ask the managed identity that is this process, clients
of Kubernetes start a command, Google's, Snowflake's, Airbyte's and Kafka's ask the token endpoint that is this process,
and Kafka's may call this package.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow
from tests.airflow.conftest import BACKEND
from tests.live.test_kubernetes_hooks import issuer
from tests.peers.azure_services import service
from tests.peers.internet import Internet
from tests.peers.kafka import KafkaBroker
from tests.peers.rogue import Peer, Request, Rogue, response
from tests.peers.tls import serving
from tests.shapes.worker import answer, verified

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

DAGS = Path(__file__).parent / "fetch_dags"
LIVES = 8
SECONDS = 3.2 * LIVES
STORAGE = "https://storage.azure.com"
KINDS = ("azure", "kubernetes", "google", "snowflake", "airbyte", "kafka", "kafka_called")
PLACES = [f"{kind}_{process}" for kind in KINDS for process in ("task", "trigger")]
OF_KAFKA = {
    "kafka_task": True,
    "kafka_trigger": True,
    "kafka_called_task": "oauth_cb",
    "kafka_called_trigger": "oauth_cb",
}
LED = ("googleapis.com", "snowflakecomputing.com")
"""Whose names lead here, for clients of an event loop, which no proxy of the environment does."""
LEADING = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\nfrom tests.shapes.tasks import names\n"


class Visits:
    """The tokens that were brought to each place, and whether each lived."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.tokens: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        self._mutex = Lock()

    def note(self, place: str, request: Request) -> tuple[bool, bool]:
        """Say whether a token lives, and whether those who wait at the place have waited for long enough."""
        return self.judge(place, str(request.headers["Authorization"]).removeprefix("Bearer "))

    def judge(self, place: str, token: str) -> tuple[bool, bool]:
        """Say the same of a token by itself."""
        with self._mutex:
            began = self.began.setdefault(place, time.monotonic())
            self.tokens[place].append((token, verified(token)))
        return self.tokens[place][-1][1], time.monotonic() - began > SECONDS

    def internet(self, host: str, request: Request) -> bytes:
        """Be whatever host is asked."""
        if host.endswith("googleapis.com"):
            return self.google(request)
        return self.snowflake(request) if host.endswith("snowflakecomputing.com") else self.azure(host, request)

    def led(self, peer: Peer) -> None:
        """Be it where no proxy stands before it."""
        request = peer.read()
        peer.send(self.internet(str(request.headers["Host"]), request))

    def google(self, request: Request) -> bytes:
        """Be Google's storage: an object that a sensor waits for is there in the end."""
        place = request.target.partition("?")[0].rpartition("/")[2]
        lives, late = self.note(f"google_{place}", request)
        if not lives:
            return answer({"error": {"code": 401, "message": "Invalid Credentials"}}, 401)
        found = place == "task" or late
        return answer({"name": place, "size": "1"} if found else {"error": {"code": 404}}, 200 if found else 404)

    def snowflake(self, request: Request) -> bytes:
        """Be Snowflake: a statement that a trigger waits for ends at last."""
        place = "trigger" if request.method == "POST" else request.target.partition("?")[0].rpartition("/")[2]
        lives, late = self.note(f"snowflake_{place}", request)
        if not lives:
            return answer({"code": "390303", "message": "Invalid OAuth access token"}, 401)
        return answer({"statementHandle": place, "message": "told"}, 200 if place == "task" or late else 202)

    def azure(self, host: str, request: Request) -> bytes:
        """Be a storage account: a blob that a sensor waits for is there in the end."""
        place = request.target.partition("?")[0].rpartition("/")[2]
        lives, late = self.note(f"azure_{place}", request)
        if lives and place == "trigger" and not late:
            return response(length=0, status=404, x_ms_error_code="BlobNotFound")
        return service(host, request, allowed=lives)

    def kubernetes(self, peer: Peer) -> None:
        """Be an API server: a pod that a trigger waits for starts in the end."""
        request = peer.read()
        place = request.target.partition("?")[0].rpartition("/")[2]
        if place not in ("task", "trigger"):
            peer.send(answer({"kind": "List", "metadata": {}, "items": []}))
            return
        lives, late = self.note(f"kubernetes_{place}", request)
        phase = "Pending" if place == "trigger" and not late else "Succeeded"
        pod = {"kind": "Pod", "metadata": {"name": place, "namespace": "work"}, "spec": {"containers": []}}
        status = {"kind": "Status", "status": "Failure", "code": 401}
        peer.send(answer({**pod, "status": {"phase": phase}}) if lives else answer(status, 401))

    def airbyte(self, peer: Peer) -> None:
        """Be Airbyte: job 1, which a trigger waits for, succeeds in the end."""
        request = peer.read()
        lives, late = self.note("airbyte_task" if request.target.endswith("/2") else "airbyte_trigger", request)
        job = {"jobId": 1, "jobType": "sync", "startTime": "2026-01-01T00:00:00Z", "connectionId": "c"}
        told = {**job, "status": "succeeded" if late else "running"}
        peer.send(answer(told) if lives else answer({"message": "Unauthorized"}, 401))


class Broker(KafkaBroker):
    """A broker of a place; who waits for a message gets one in the end."""

    def __init__(self, visits: Visits, place: str) -> None:
        super().__init__({}, ends=self._judge)
        self._visits = visits
        self._place = place

    def _judge(self, token: str) -> float | None:
        lives, late = self._visits.judge(self._place, token)
        if late:
            self.say(b"a message")
        return time.time() + LIVES if lives else None


class Run(NamedTuple):
    """What became of it all."""

    airflow: Airflow
    visits: Visits
    audit: list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    visits = Visits()
    with ExitStack() as stack:
        internet = stack.enter_context(Internet(visits.internet, ca_file=tmp_path_factory.mktemp("ca") / "ca.pem"))
        tokens = stack.enter_context(Rogue(issuer(LIVES)))
        cluster = stack.enter_context(Rogue(visits.kubernetes))
        airbyte = stack.enter_context(Rogue(visits.airbyte))
        brokers = {place: stack.enter_context(Broker(visits, place)) for place in OF_KAFKA}
        tls = serving(internet.authority, *(f"*.{domain}" for domain in LED))
        beside = stack.enter_context(Rogue(visits.led, tls=tls))
        environment = {
            "AIRFLOW__APACHE_KAFKA__CALLBACK_ALLOWLIST": "airflow_ephemeral_secrets.live.kafka.token",
            "LIFE": str(SECONDS),
            **internet.environment,
            "NO_PROXY": "127.0.0.1,localhost",
            "LEADS_TO": str(beside.port),
        }
        airflow = stack.enter_context(Airflow([DAGS], environment=environment, triggerer=True, parallelism=len(PLACES)))
        (airflow.home / "config").mkdir()
        (airflow.home / "config" / "airflow_local_settings.py").write_text(f"{LEADING}names.lead{LED}\n")
        audit, config = airflow.home / "audit.jsonl", airflow.home / "ephemeral.json"
        source = {
            "kind": "oauth2",
            "token_url": f"{tokens.url}/token",
            "client_id": "airflow",
            "client_auth": "none",
            "attribution": "task",
        }
        recipe = {"source": "tokens", "allow": {"dags": list(KINDS)}}
        live = {**recipe, "live": True}
        config.write_text(
            json.dumps(
                {
                    "version": 1,
                    "sources": {"tokens": source},
                    "connections": {
                        "blobs": {
                            **live,
                            "shape": "wasb",
                            "host": "https://acme.blob.core.windows.net",
                            "resources": [STORAGE],
                        },
                        "cluster": {**live, "shape": "kubernetes", "server": cluster.url},
                        "lake": {**live, "shape": "google_cloud_platform", "project": "acme", "num_retries": 0},
                        "warehouse": {**live, "shape": "snowflake", "account": "acme"},
                        "bytes": {**recipe, "shape": "airbyte", "host": f"{airbyte.url}/v1/"},
                        **{
                            place: {
                                **recipe,
                                "shape": "kafka",
                                "live": OF_KAFKA[place],
                                "bootstrap_servers": f"127.0.0.1:{broker.port}",
                                "security_protocol": "SASL_PLAINTEXT",
                                "extra": {"group.id": "g", "auto.offset.reset": "earliest"},
                            }
                            for place, broker in brokers.items()
                        },
                    },
                    "audit": {"file": str(audit)},
                }
            )
        )
        kwargs = json.dumps({"config_file": str(config)})
        airflow.start({"workers": {"secrets_backend": BACKEND, "secrets_backend_kwargs": kwargs}})
        airflow.wait(KINDS, timeout=360)
        yield Run(airflow, visits, [json.loads(line) for line in audit.read_text().splitlines()])


@pytest.mark.parametrize("place", PLACES)
def test_works_through_several_lifetimes(run: Run, place: str) -> None:
    """One lookup serves for over three lifetimes, and no token that was brought was dead."""
    states = {task.task_id: task.state for task in run.airflow.metadata.tasks()}
    tokens = run.visits.tokens[place]

    assert states[place] == "success", run.airflow.task_log(place.rpartition("_")[0], place)
    assert all(lived for _, lived in tokens)
    assert len({token for token, _ in tokens}) > 3


@pytest.mark.parametrize("place", PLACES)
def test_every_mint_names_the_task(run: Run, place: str) -> None:
    """Whatever is minted, by the desk in the triggerer or by a command, names the task that looked up."""
    mints = [line["caller"] for line in run.audit if line["event"] == "mint"]
    mine = [caller for caller in mints if caller["task_id"] == place]

    assert len(mine) > 3
    assert {caller["dag_id"] for caller in mine} == {place.rpartition("_")[0]}
    assert {caller["task_id"] for caller in mints} == set(PLACES)
