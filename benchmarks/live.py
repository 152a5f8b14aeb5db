"""Live connections: what the way through the endpoint adds to a request, what it carries, and what it costs to have."""

from __future__ import annotations

import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks.figure import Figure
from benchmarks.host import credential, folder_in_ram
from benchmarks.upstream import LARGE, PIECE, upstream

PAIRS = 1_000
RATE, SECONDS, THREADS = 200, 3.0, 8
STARTS = 5
CAPABILITY = "X-Lease-Token"
SOURCE = {"kind": "aws_assume_role", "role_arn": "arn:aws:iam::111122223333:role/reader", "region": "eu-west-1"}
BEARER = {"kind": "static", "token": {"secret": "token"}}

START = """
import json, time
import airflow.sdk.configuration, airflow.sdk.definitions.connection
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
start = time.perf_counter()
ENDPOINT.route("key", lambda: None)
print(json.dumps(time.perf_counter() - start))
"""
STATIC = """
import json, sys, threading
from airflow_ephemeral_secrets import EphemeralSecretsBackend
before, known = threading.active_count(), set(sys.modules)
assert EphemeralSecretsBackend(config=json.loads(sys.argv[1])).get_connection("static").host
new = set(sys.modules) - known
modules = [name for name in new if name in ("h11", "urllib3") or name.startswith("airflow_ephemeral_secrets.live")]
print(json.dumps([threading.active_count() - before, modules]))
"""


class Way(NamedTuple):
    """
    A way to an API.

    :param ask: asks once, over a connection that is kept
    """

    url: str
    headers: dict[str, str]
    ask: Callable[[], Any]


def figures() -> Iterator[Figure]:
    with folder_in_ram() as store, upstream() as url, patch(f"{_ROLE}.mint", lambda *_: _minted()):
        document = {
            "version": 1,
            "secrets": {"token": {"from": "env", "name": "BENCHMARK_TOKEN"}},
            "sources": {"keys": SOURCE, "token": BEARER},
            "connections": {
                "signed": {"source": "keys", "shape": "http_sigv4", "host": url, "region": "eu-west-1"},
                "bearer": {"source": "token", "shape": "http", "host": url, "live": True},
                "static": {"source": "token", "shape": "http", "host": url},
            },
            "store": {"host": str(store)},
        }
        logging.getLogger("airflow_ephemeral_secrets.audit").setLevel(logging.WARNING)
        os.environ["BENCHMARK_TOKEN"] = "t" * 1_200
        direct, signed, bearer = _direct(url), *(_through_us(document, conn_id) for conn_id in ("signed", "bearer"))
        for way in (direct, signed, bearer):
            way.ask()
        yield _carried("download", signed, _download)
        yield _carried("upload", signed, _upload)
        yield from _added(direct, signed, bearer)
        yield _sustained(signed)
        yield from _started(document)


_ROLE = "airflow_ephemeral_secrets.sources.aws.AwsAssumeRole"


def _minted() -> Any:
    return credential(time.time() + 3600)


def _direct(url: str) -> Way:
    import requests

    session = requests.Session()
    session.trust_env = False
    return Way(url, {}, lambda: session.get(f"{url}/orders?status=open"))


def _through_us(document: dict[str, Any], conn_id: str) -> Way:
    import requests
    from airflow.sdk.definitions.connection import Connection

    from airflow_ephemeral_secrets import EphemeralSecretsBackend

    backend = EphemeralSecretsBackend(config=document)
    backend._set_connection_class(Connection)
    connection = backend.get_connection(conn_id)
    assert connection
    headers = {CAPABILITY: connection.extra_dejson[CAPABILITY]}
    session = requests.Session()
    session.trust_env = False
    return Way(connection.host, headers, lambda: session.get(f"{connection.host}/orders?status=open", headers=headers))


def _carried(what: str, way: Way, carry: Callable[[Way], int]) -> Figure:
    """Carry 100 MB through; by how much the process of the endpoint and of the client grows at most."""
    before = _megabytes()
    start = time.monotonic()
    assert carry(way) == LARGE
    grown, took = _megabytes() - before, time.monotonic() - start
    return Figure(
        f"{what} of {LARGE // 1_000_000} MB through the signing origin: growth of the process",
        f"{grown:.1f} MB ({took:.1f} s)",
        "under 30 MB",
        grown < 30,
    )


def _download(way: Way) -> int:
    import requests

    with requests.get(f"{way.url}/large", headers=way.headers, stream=True, timeout=60) as answer:
        return sum(map(len, answer.iter_content(PIECE)))


def _upload(way: Way) -> int:
    import requests

    pieces = (b"x" * PIECE for _ in range(LARGE // PIECE))
    answer = requests.put(f"{way.url}/orders", headers=way.headers, data=pieces, timeout=60)
    assert answer.text == "ok\n", answer.text
    return LARGE


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _added(direct: Way, signed: Way, bearer: Way) -> Iterator[Figure]:
    took: dict[str, list[float]] = {"direct": [], "signed": [], "bearer": []}
    for _ in range(PAIRS):
        for name, way in (("direct", direct), ("signed", signed), ("bearer", bearer)):
            start = time.perf_counter()
            assert way.ask().status_code == 200
            took[name].append((time.perf_counter() - start) * 1e3)
    median = {name: statistics.median(times) for name, times in took.items()}
    for name, what in (("signed", "signing"), ("bearer", "bearer")):
        added = median[name] - median["direct"]
        yield Figure(
            f"a request through the {what} origin, against the same requests.Session.get straight to the API",
            f"{added:.2f} ms added ({median[name]:.2f} ms against {median['direct']:.2f} ms)",
            "under 1.5 ms added at the median",
            added < 1.5,
        )


def _sustained(way: Way) -> Figure:
    """Ask steadily from some threads of one task."""
    took: list[float] = []
    failed: list[str] = []
    each = int(RATE * SECONDS / THREADS)

    def ask() -> None:
        import requests

        with requests.Session() as session:
            session.trust_env = False
            start = time.monotonic()
            for number in range(each):
                time.sleep(max(0.0, start + number * THREADS / RATE - time.monotonic()))
                asked = time.monotonic()
                try:
                    answer = session.get(f"{way.url}/orders", headers=way.headers, timeout=10)
                    failed.extend([str(answer.status_code)] if answer.status_code != 200 else [])
                except requests.RequestException as error:
                    failed.append(type(error).__name__)
                took.append(time.monotonic() - asked)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(took) / (time.monotonic() - start)
    late = statistics.quantiles(took, n=100)[98] * 1e3
    return Figure(
        f"{RATE} requests a second for {SECONDS:.0f} s from {THREADS} threads of one task, signed",
        f"{rate:.0f} a second, {len(failed)} errors, {late:.0f} ms at p99",
        f"{RATE} a second without error",
        not failed and rate > 0.95 * RATE,
    )


def _started(document: dict[str, Any]) -> Iterator[Figure]:
    starts = [float(json.loads(_run(START))) * 1e3 for _ in range(STARTS)]
    yield Figure(
        "start of the endpoint in a process that has loaded airflow.sdk, to its first route",
        f"{statistics.median(starts):.2f} ms",
        "under 5 ms",
        statistics.median(starts) < 5,
    )
    threads, modules = json.loads(_run(STATIC, json.dumps(document)))
    yield Figure(
        "the same for a process that looks up a static connection",
        f"{threads} threads, {len(modules)} modules loaded",
        "0 threads, 0 modules",
        not threads and not modules,
    )


def _run(script: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()[-1]
