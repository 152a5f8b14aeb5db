"""Many threads of one process that want the same cold lease: its provider is asked once, whatever the kind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import trustme

from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import lease_key
from tests.leases.made import threads
from tests.peers.rogue import PATIENCE, Peer, Rogue, Script, reply
from tests.peers.sts import granted
from tests.sources.asking import assume, given
from tests.sources.token_kinds import KINDS, Stage, clear

THREADS = 16
A_WHILE = 0.1
KEY = lease_key({"kind": "any"})


def patient(script: Script) -> Script:
    """Play a script, but keep the first client waiting until a second comes, or none has for a while."""
    first, second = threading.Lock(), threading.Event()

    def played(peer: Peer) -> None:
        second.wait(A_WHILE) if first.acquire(blocking=False) else second.set()
        script(peer)

    return played


def tokens(mint: Callable[[], Credential]) -> list[tuple[str, ...]]:
    """Let all threads want the same lease at once; list the secrets that each got."""
    clock, arrived = SystemClock(), threading.Barrier(THREADS)
    cache = LeaseCache(clock, Random(0), lambda: None)

    def ask() -> tuple[str, ...]:
        arrived.wait(PATIENCE)
        held = cache.acquire(KEY, lambda _: mint(), deadline=Deadline(clock, PATIENCE), hold=300)
        return held.lease.credential.secrets()

    with threads(THREADS, ask) as answers:
        pass
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_one_token_request(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> None:
    """Sixteen threads on one cold lease make one token request, and all get its token."""
    clear(monkeypatch, os.environ)
    stage = Stage(KINDS[kind], tmp_path, monkeypatch, authority)
    with stage.serve(patient(reply(stage.kind.good.body()))) as server:
        found = tokens(stage.prepare(server.url))

    assert server.connections == len(stage.kind.before) + 1
    assert len(found) == THREADS
    assert len(set(found)) == 1


def test_one_request_to_aws(worker: pytest.MonkeyPatch) -> None:
    """The same for a role of AWS."""
    with Rogue(patient(reply(granted()))) as sts:
        source = assume(sts.url)
        found = tokens(lambda: source.mint(given(source)))

    assert sts.connections == 1
    assert len(set(found)) == 1
