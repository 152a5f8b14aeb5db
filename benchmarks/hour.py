"""An hour of lookups in no time: how often the source is asked, here and by botocore's own refresher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.testing import FakeClock
from benchmarks.figure import Figure
from benchmarks.host import ask, credential, folder_in_ram

LOOKUPS = 10_000
TTL = 900.0


def figures() -> Iterator[Figure]:
    ours, theirs = _ours(), _botocore()
    yield Figure(
        f"{LOOKUPS:,} lookups over one virtual hour at ttl {TTL:.0f} s, each with an empty memory",
        f"{ours} mints (one long process with botocore's own refresher: {theirs:,})",
        "at most 7 mints",
        ours <= 7,
    )


def _ours() -> int:
    clock, minted = FakeClock(), []

    def mint(asked: Instant) -> Credential:
        minted.append(asked)
        return credential(asked.wall + TTL)

    with folder_in_ram() as root:
        _for_an_hour(clock, lambda: ask(root, mint, clock=clock))
    return len(minted)


def _botocore() -> int:
    from botocore.credentials import DeferredRefreshableCredentials

    clock, minted = FakeClock(), []

    def refresh() -> dict[str, str]:
        minted.append(clock.wall)
        expiry = datetime.fromtimestamp(clock.wall + TTL, timezone.utc).isoformat()
        return {"access_key": "a", "secret_key": "s", "token": "t", "expiry_time": expiry}

    credentials = DeferredRefreshableCredentials(
        refresh, "benchmark", time_fetcher=lambda: datetime.fromtimestamp(clock.wall, timezone.utc)
    )
    _for_an_hour(clock, credentials.get_frozen_credentials)
    return len(minted)


def _for_an_hour(clock: FakeClock, look_up: Callable[[], object]) -> None:
    for _ in range(LOOKUPS):
        look_up()
        clock.advance(3600 / LOOKUPS)
