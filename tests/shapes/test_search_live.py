"""Stock hooks of OpenSearch and Elasticsearch, led through this process, while their keys die again and again."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.live.gateways import Answer, Gateway
from tests.live.gateways import Seen as Request
from tests.live.sessions import ENVIRONMENT, REGION, Sessions
from tests.peers import installed
from tests.peers.rogue import Rogue
from tests.shapes.test_search_hooks import engine
from tests.shapes.worker import Seen, work

HERE = "127.0.0.1"
LIFETIMES = 3
FOUND = (200, {"Content-Type": "application/json"}, b'{"hits": ["found"]}')


class Ran(NamedTuple):
    """What the worker told, and the cloud that it asked."""

    told: Seen
    cloud: Sessions


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks for three lifetimes of the keys, one of which is cut short, behind a dead proxy."""
    for name in ("elasticsearch", "opensearch"):
        installed.provider(name)

    def search(_: Request) -> Answer:
        if len(cloud.used) == 6:
            cloud.revoked.add(cloud.used[-1])
        return FOUND

    cloud = Sessions("es", search)
    with Gateway(cloud) as gateway, Rogue(engine) as plain:
        static = {"source": "token", "host": HERE, "port": plain.port, "live": True}
        told = work(
            "search_live",
            {
                "orders": {
                    "source": "cloud",
                    "shape": "opensearch",
                    "host": HERE,
                    "port": int(gateway.url.rpartition(":")[2]),
                    "service": "es",
                    "region": REGION,
                    "extra": {"use_ssl": False, "url_prefix": "/domain"},
                },
                "os": {**static, "shape": "opensearch", "extra": {"use_ssl": False}},
                "es": {**static, "shape": "elasticsearch", "schema": "http"},
            },
            home=tmp_path_factory.mktemp("worker"),
            sources={"cloud": cloud.source(gateway.url)},
            SECONDS=str(LIFETIMES * cloud.lives + 1),
            NO_PROXY="",
            HTTP_PROXY="http://127.0.0.1:1",
            **ENVIRONMENT,
        )
    return Ran(told, cloud)


def test_outlives_its_keys(ran: Ran) -> None:
    """A hook signs each request anew through three lifetimes, on what it looked up once; none fails."""
    assert {str(one) for one in ran.told["found"]} == {"['found']"}
    assert ran.told["lookups"] == 1
    assert len(set(ran.cloud.used)) > LIFETIMES


def test_revoked_keys_cost_one_request(ran: Ran) -> None:
    """Keys that were revoked while they lived are minted anew once, and the task sees nothing of it."""
    (refused,) = ran.cloud.refused
    assert next(iter(ran.cloud.revoked)) in refused.headers["authorization"]


def test_operator(ran: Ran) -> None:
    """So does the operator get in."""
    assert ran.told["operator"] == ["found"]


def test_token_of_the_moment(ran: Ran) -> None:
    """With a token, both hooks are led the same way, and the engine is shown the token as ever."""
    assert ran.told["elasticsearch"] == [["Bearer"]]
    assert ran.told["opensearch"] == {"hits": ["Bearer"]}
