"""Forks while another thread of the parent holds every lock of the package and flies for the lease."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch

import msgspec

from airflow_ephemeral_secrets import installation
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.leases import flight
from airflow_ephemeral_secrets.leases.lease import LeaseKey, issue
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from benchmarks.figure import Figure
from benchmarks.host import credential, folder_in_ram, fork
from benchmarks.lookup import CONFIG

FORKS = 10_000
AT_ONCE = 4
PATIENCE = 15
ENOUGH = 10
LIFE = 3600.0
SHORT = 300.0
"""What children mint ends before what the parent holds, so that a store that is full drops theirs first."""
CALLER = Caller(process="task", dag_id="a_dag", task_id="a_task", run_id="a_run")


def figures() -> Iterator[Figure]:
    with folder_in_ram() as root, patch.object(AwsAssumeRole, "mint", lambda *_: credential(time.time() + SHORT)):
        resolver = _resolver(root)
        held = _advisory(resolver)
        with _everything_held(resolver, held), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads is the point
            ended = _fork_all(root)
        resolver.close()
    deadlocks = sum(os.WIFSIGNALED(status) for status in ended)
    failed = sum(status != 0 for status in ended) - deadlocks
    yield Figure(
        f"{FORKS:,} forks while a thread of the parent holds a flight and every lock; each child looks up and mints",
        f"{deadlocks} deadlocks, {failed} failed lookups in {len(ended):,} forks",
        "0 deadlocks",
        len(ended) == FORKS and not deadlocks and not failed,
    )


def _resolver(root: Path) -> Resolver:
    source = CONFIG["sources"]["lake-reader"] | {"attribution": "task"}
    connections = CONFIG["connections"] | {"mine": {**CONFIG["connections"]["lake"], "source": "mine"}}
    config = CONFIG | {
        "sources": CONFIG["sources"] | {"mine": source},
        "connections": connections,
        "store": {"host": str(root)},
    }
    return installation.installation({"config": config}, str(root), lambda: None).resolver()


def _advisory(resolver: Resolver) -> LeaseKey:
    """Hold a lease that lives and that one process would refresh."""
    recipe = resolver.config.connections.match("lake")
    assert recipe
    assert resolver.leases.host
    key, now = recipe.lease_key(CALLER, recipe.facts(CALLER)), resolver.clock.now()
    asked = Instant(now.wall - 0.85 * LIFE, now.boot - 0.85 * LIFE)
    lease = issue(credential(asked.wall + LIFE), asked=asked, hold=0, random=Random())
    assert lease.freshness(now) == "advisory"
    resolver.leases.host.put(key, lease)
    return key


@contextmanager
def _everything_held(resolver: Resolver, key: LeaseKey) -> Iterator[None]:
    """Let another thread hold a flight and every lock while the block lasts."""
    leases, ready, done = resolver.leases, threading.Event(), threading.Event()
    locks = [
        installation._mutex,
        *(known._mutex for known in installation._installations.values()),
        resolver._mutex,
        resolver.audit._mutex,
        leases._mutex,
        leases.memory._mutex,
        flight._mutex,
    ]

    def hold() -> None:
        with ExitStack() as held:
            for store in (leases.memory, leases.host):
                assert store
                assert held.enter_context(store.flight(key, resolver.clock.now().boot + LIFE))
            for lock in locks:
                held.enter_context(lock)
            ready.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        done.set()
        holder.join()


def _fork_all(root: Path) -> list[int]:
    """Fork, a few children at a time, until enough have failed; how each ended."""
    ended: list[int] = []
    alive: dict[int, float] = {}
    numbers = iter(range(FORKS))
    while True:
        while len(alive) < AT_ONCE and sum(map(bool, ended)) < ENOUGH and (number := next(numbers, None)) is not None:
            alive[fork(partial(_look_up, root, number))] = time.monotonic()
        if not alive:
            return ended
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            del alive[child]
            ended.append(status)
        elif time.monotonic() - min(alive.values()) > PATIENCE:
            os.kill(min(alive, key=lambda child: alive[child]), signal.SIGKILL)
        else:
            time.sleep(0.0002)


def _look_up(root: Path, number: int) -> None:
    """Be served the lease that the parent is about to refresh, then mint one of our own."""
    resolver = _resolver(root)
    assert resolver.connection("lake", CALLER)
    assert resolver.connection("mine", msgspec.structs.replace(CALLER, run_id=f"run-{number}"))
