"""Processes that are killed at any instruction while they and others look up and mint."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import EphemeralSecretsError
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.leases.lease import lease_key
from benchmarks.figure import Figure
from benchmarks.host import INSTALLATION, ask, credential, folder_in_ram, fork

ROUNDS = 100
WORKERS = 8
KEYS = [lease_key({"role": number}) for number in range(4)]
ROUND_SECONDS = (0.05, 0.25)
MINT_SECONDS = (0.005, 0.05)
LIFE = 0.3
FIELDS = 4
DONE, FAILED, SLOWEST, MINTING = range(FIELDS)


def figures() -> Iterator[Figure]:
    random = Random(1)
    tally = memoryview(mmap.mmap(-1, WORKERS * FIELDS * 8)).cast("q", (WORKERS, FIELDS))
    with folder_in_ram() as root:
        workers = [_start(root, tally, slot) for slot in range(WORKERS)]
        in_a_mint = 0
        try:
            for _ in range(ROUNDS):
                time.sleep(random.uniform(*ROUND_SECONDS))
                minting = [slot for slot in range(WORKERS) if tally[slot, MINTING]]
                slot = random.choice(minting if minting and random.random() < 0.5 else range(WORKERS))
                _kill(workers[slot])
                in_a_mint += tally[slot, MINTING]
                tally[slot, MINTING] = 0
                workers[slot] = _start(root, tally, slot)
        finally:
            for worker in workers:
                _kill(worker)
        stuck = _stuck(root)
    done, failed = (sum(tally[slot, field] for slot in range(WORKERS)) for field in (DONE, FAILED))
    slowest = max(tally[slot, SLOWEST] for slot in range(WORKERS))
    yield Figure(
        f"kill -9 of random processes during {ROUNDS} rounds, {WORKERS} at a time on {len(KEYS)} leases of {LIFE} s",
        f"{failed} of {done:,} lookups failed, {stuck} locks stuck, {in_a_mint} died minting, slowest {slowest} ms",
        "0 failed, 0 stuck",
        not failed and not stuck and done > ROUNDS,
    )


def _start(root: Path, tally: memoryview, slot: int) -> int:
    def look_up() -> None:
        random = Random()

        def mint(asked: Instant) -> Credential:
            tally[slot, MINTING] = 1
            time.sleep(random.uniform(*MINT_SECONDS))
            tally[slot, MINTING] = 0
            return credential(asked.wall + LIFE)

        while True:
            start = time.monotonic()
            try:
                ask(root, mint, random.choice(KEYS))
            except EphemeralSecretsError:
                tally[slot, FAILED] += 1
            tally[slot, DONE] += 1
            tally[slot, SLOWEST] = max(tally[slot, SLOWEST], round((time.monotonic() - start) * 1e3))

    return fork(look_up)


def _kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)


def _stuck(root: Path) -> int:
    """Count the leases for which nobody can mint any more."""
    store = HostStore(str(root), INSTALLATION)
    stuck = 0
    for key in KEYS:
        with store.flight(key, SYSTEM_CLOCK.now().boot) as mine:
            stuck += not mine
    store.close()
    return stuck
