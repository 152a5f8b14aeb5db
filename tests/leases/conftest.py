"""What the tests of leases share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.made import START, Provider, Start

pytest.register_assert_rewrite("tests.leases.conformance")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=START)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def alone() -> Start:
    """Start processes that share their leases with nobody."""
    return lambda clock: LeaseCache(clock, Random(7), lambda: None)


@pytest.fixture
def processes(ram: Path) -> Iterator[Start]:
    """Start processes that share one host store."""
    with ExitStack() as stores:

        def start(clock: FakeClock) -> LeaseCache:
            store = stores.enter_context(closing(HostStore(str(ram / "store"), "tests", clock=clock)))
            return LeaseCache(clock, Random(7), lambda: store)

        yield start
