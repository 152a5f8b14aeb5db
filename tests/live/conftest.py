"""What every test of live connections stands on: nothing that it opens outlives it, and time is its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.live.sessions import SESSIONS
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    ENDPOINT.close()
    SESSIONS.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()
