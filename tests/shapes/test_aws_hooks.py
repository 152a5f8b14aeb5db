"""Stock hooks and triggers of Amazon's provider on a live ``aws`` connection, while their keys die again and again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.live.gateways import Answer, Gateway, Seen
from tests.live.sessions import ACCOUNT, ENVIRONMENT, REGION, Sessions
from tests.peers import installed
from tests.shapes.worker import Seen as Told
from tests.shapes.worker import work

LIFETIMES = 3
FACTORY = "airflow_ephemeral_secrets.aws_session.SessionFactory"


class Run(NamedTuple):
    """What a worker told, and the cloud that it asked."""

    told: Told
    cloud: Sessions


def run(home: Path, factory: str, **environment: str) -> Run:
    """Run a worker until its keys have died three times."""
    found_at: list[float] = []

    def s3(seen: Seen) -> Answer:
        found_at.append(time.monotonic() + LIFETIMES * cloud.lives)
        there = "another" in seen.target and time.monotonic() > found_at[0]
        return (200, {}, b"") if there else (404, {}, b"")

    cloud = Sessions("s3", s3)
    with Gateway(cloud) as gateway:
        extra = {"endpoint_url": gateway.url, "service_config": {"sts": {"endpoint_url": gateway.url}}}
        at = {"shape": "aws", "region": REGION, "extra": extra}
        told = work(
            "aws",
            {"lake": {**at, "source": "cloud", "live": True}, "other": {**at, "source": "worker"}},
            home=home,
            sources={"cloud": cloud.source(gateway.url), "worker": {"kind": "aws_session", "region": REGION}},
            SECONDS=str(LIFETIMES * cloud.lives + 1),
            AIRFLOW__AWS__SESSION_FACTORY=factory,
            **ENVIRONMENT,
            **environment,
        )
    return Run(told, cloud)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """
    Run two workers side by side: one whose hooks make their sessions by our factory, and one where they do so as
    usual, though its environment names a dead proxy.
    """
    installed.provider("amazon")
    homes = [tmp_path_factory.mktemp("worker") for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        usual = pool.submit(run, homes[0], "", NO_PROXY="", HTTP_PROXY="http://127.0.0.1:1")
        ours = pool.submit(run, homes[1], FACTORY)
        return {"": usual.result(), FACTORY: ours.result()}


@pytest.fixture(params=["", FACTORY], ids=["desk", "session factory"])
def seen(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]


def test_outlives_its_keys(seen: Run) -> None:
    """A hook and a trigger work through three lifetimes on what they looked up once, and no request is refused."""
    assert set(seen.told["poked"]) == {False}
    assert seen.told["waited"] == ["success"]
    assert seen.told["lookups"] == 2
    assert len(set(seen.cloud.used)) > LIFETIMES
    assert seen.cloud.refused == []


def test_asks_sts_who_it_is(seen: Run) -> None:
    """The account of the hook, and its test of the connection, are those of the lease."""
    assert seen.told["account"] == ACCOUNT
    assert seen.told["tested"][0] is True


def test_other_connections_are_as_ever(seen: Run) -> None:
    """A connection that is not live holds its keys, also where our factory makes the sessions."""
    assert seen.told["other"] == ENVIRONMENT["AWS_ACCESS_KEY_ID"]


def test_port_only_where_it_is_needed(runs: dict[str, Run]) -> None:
    """The desk is served by a thread of the asking process; the factory needs none."""
    assert "airflow-ephemeral-endpoint" in runs[""].told["threads"]
    assert "airflow-ephemeral-endpoint" not in runs[FACTORY].told["threads"]


def test_keys_are_masked(seen: Run) -> None:
    """What reaches the task is masked in its log, renewed as it may be."""
    key_id, *secrets = seen.told["shown"]
    assert key_id in seen.cloud.issued
    assert secrets == ["***", "***"]
