"""A host of its own for a benchmark: a store in RAM, a lease as AWS gives it, and processes that ask for it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock, Deadline
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.leases.cache import Held, LeaseCache, Mint
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.leases.lease import LeaseKey, lease_key

KEY = lease_key({"role": "reader"})
INSTALLATION = "benchmark"
DEADLINE = 10.0


@contextmanager
def folder_in_ram() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="airflow-ephemeral-bench-", dir="/dev/shm")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


def credential(expires_at: float) -> AwsCredential:
    return AwsCredential(
        access_key_id="ASIAEXAMPLEEXAMPLE00",
        secret_access_key="s" * 40,
        session_token="t" * 1_200,
        expires_at=expires_at,
        principal="arn:aws:sts::111122223333:assumed-role/reader/benchmark",
    )


def ask(root: Path, mint: Mint, key: LeaseKey = KEY, clock: Clock = SYSTEM_CLOCK) -> Held:
    """Look up once as a process that has just started does: with an empty memory and a store still to open."""
    cache = LeaseCache(clock, Random(), lambda: HostStore(str(root), INSTALLATION, clock=clock))
    try:
        return cache.acquire(key, mint, deadline=Deadline(clock, DEADLINE), hold=0)
    finally:
        cache.close()


def fork(work: Callable[[], object]) -> int:
    """Start a child that does one thing and ends without cleaning up what is its parent's; 1 if the thing failed."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
