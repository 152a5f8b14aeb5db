"""Airbyte's client, which gets its tokens from the asking process whenever it needs one."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.live.gateways import Gateway
from tests.live.issuer import Issuer
from tests.peers.installed import provider
from tests.peers.rogue import Peer, Rogue
from tests.shapes.worker import Seen, answer, work

CONNECTION = "00000000-0000-0000-0000-000000000001"
FOR = 11
"""Seconds, in which a token of the issuer dies three times."""


class Api:
    """Airbyte's API: job 7, which it starts for whoever asks, has succeeded, and all others run."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    def __call__(self, peer: Peer) -> None:
        request = peer.read()
        if not self._issuer.judge(str(request.headers["Authorization"]).removeprefix("Bearer ")):
            peer.send(answer({"message": "Unauthorized"}, status=401))
            return
        status = "succeeded" if request.target.endswith("/7") else "running"
        job = {"jobId": 7, "jobType": "sync", "startTime": "2026-01-01T00:00:00Z", "connectionId": CONNECTION}
        peer.send(answer({**job, "status": status}))


class Ran(NamedTuple):
    """What the worker saw, and what the issuer and the API saw of it."""

    seen: Seen
    issuer: Issuer


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("airbyte")
    issuer = Issuer()
    with Gateway(issuer) as gateway, Rogue(Api(issuer)) as api:
        recipe = {"shape": "airbyte", "host": f"{api.url}/v1/"}
        seen = work(
            "airbyte",
            {
                "lake": {**recipe, "source": "short"},
                "lasting": {**recipe, "source": "long"},
                "dead": {**recipe, "source": "expired"},
            },
            sources={name: issuer.source(gateway, name) for name in ("short", "long")},
            home=tmp_path_factory.mktemp("worker"),
            FOR=str(FOR),
            HTTP_PROXY="http://127.0.0.1:1",
            ISSUER=gateway.url,
            NO_PROXY="internal.example.com",
        )
    return Ran(seen, issuer)


def test_hook_outlives_its_tokens(ran: Ran) -> None:
    """A hook that was made once works through more than three lifetimes, and reads its connection once."""
    assert set(ran.seen["outlived"]) == {"JobStatusEnum.RUNNING"}
    assert len(ran.issuer.used) > 3
    assert ran.issuer.wasted <= 0
    assert ran.seen["reads"] == 1


def test_operator_and_trigger(ran: Ran) -> None:
    """The operator starts a job and waits for it, and so does the trigger, which asks from within the event loop."""
    assert ran.seen["operator"] == 7
    assert ran.seen["event"]["status"] == "success"


def test_revoked_token_costs_one_request(ran: Ran) -> None:
    """The client tells of a refusal, and the request after it has a new token."""
    failed, recovered = ran.seen["recovered"]

    assert "401" in failed["told"]
    assert ran.seen["before"] == recovered == "JobStatusEnum.RUNNING"


def test_another_token_is_refused(ran: Ran) -> None:
    """The API looks at the token: it refused the revoked one and the dead one, once each."""
    assert "401" in ran.seen["dead"]["told"]
    assert len(ran.issuer.refused) == 2


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a token, however talkative, and no error tells one."""
    assert ran.seen.leaks() == [token for token in ran.issuer.granted if token in ran.seen.log] == []
