"""Hooks that have no header to spare: their token is the capability, and each request goes on with a real one."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, NamedTuple

import pytest

from tests.live.gateways import Gateway
from tests.live.issuer import Issuer
from tests.peers.installed import provider
from tests.peers.rogue import Peer, Rogue
from tests.shapes.worker import SECRETS, Seen, answer, work

LIVES, FOR = 2, 10
"""Seconds, in which a token of the issuer dies three times and more."""
BASIC = b64encode(f"airflow:{SECRETS['PASSWORD']}".encode()).decode()


class Apis:
    """The jobs of a Databricks workspace, and the SQL of Elasticsearch."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self.proofs: set[str] = set()

    def __call__(self, peer: Peer) -> None:
        request = peer.read()
        scheme, _, proof = str(request.headers["Authorization"]).partition(" ")
        self.proofs.add(scheme)
        if not (proof == BASIC if scheme == "Basic" else self._issuer.judge(proof)):
            peer.send(answer({"error": "unauthorized", "status": 401}, status=401))
            return
        state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
        run = {"run_id": 1, "job_id": 7, "run_page_url": "https://dbc.test/run/1", "state": state, "tasks": []}
        table = {"columns": [{"name": "one", "type": "integer"}], "rows": [[1]]}
        peer.send(answer(table if "_sql" in request.target else run, X_Elastic_Product="Elasticsearch"))


class Ran(NamedTuple):
    """What the worker saw, and what the issuer and the APIs saw of it."""

    seen: Seen
    issuer: Issuer
    apis: Apis


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("databricks")
    provider("elasticsearch")
    issuer = Issuer(LIVES)
    apis = Apis(issuer)
    with Gateway(issuer) as gateway, Rogue(apis) as server:
        here: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "schema": "http", "live": True}
        engine = {"shape": "elasticsearch", **here}
        seen = work(
            "led",
            {
                "workspace": {"source": "short", "shape": "databricks", **here},
                "engine": {"source": "short", **engine},
                "key": {"source": "short", "header": "api_key", **engine},
                "basic": {"source": "password", **engine},
                "dead": {"source": "expired", **engine},
            },
            sources={"short": issuer.source(gateway)},
            home=tmp_path_factory.mktemp("worker"),
            FOR=str(FOR),
            HTTP_PROXY="http://127.0.0.1:1",
            NO_PROXY="internal.example.com",
        )
    return Ran(seen, issuer, apis)


def test_hooks_outlive_their_tokens(ran: Ran) -> None:
    """Hooks that were made once work through more than three lifetimes, and read their connection once."""
    found = ran.seen["outlived"]

    assert set(found["databricks"]) == {"TERMINATED"}
    assert {json.dumps(rows) for rows in found["elasticsearch"]} == {"[[1]]"}
    assert len(ran.issuer.used) > 3
    assert ran.issuer.wasted <= 0
    assert ran.seen["reads"] == 1


def test_trigger(ran: Ran) -> None:
    """So does the trigger, whose row holds the conn_id."""
    assert json.loads(ran.seen["fired"]["event"]["run_state"])["result_state"] == "SUCCESS"
    assert "'databricks_conn_id': 'workspace'" in ran.seen["fired"]["row"]


def test_each_proof_goes_as_configured(ran: Ran) -> None:
    """What goes on from here is a Bearer, an API key, or a login and password."""
    assert ran.seen["key"] == ran.seen["basic"] == [[1]]
    assert ran.apis.proofs == {"Bearer", "ApiKey", "Basic"}


def test_another_token_is_refused(ran: Ran) -> None:
    """The API looks at the token, and the hook is told."""
    assert "401" in ran.seen["dead"]["told"]
    assert set(ran.issuer.refused) == {SECRETS["EXPIRED"]}


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a token, however talkative; no error, row, event or URI holds one."""
    shown = f"{ran.seen.log}{json.dumps(dict(ran.seen.printed))}"
    assert ran.seen.leaks() == [token for token in ran.issuer.granted if token in shown] == []
