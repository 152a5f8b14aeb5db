"""Snowflake's hooks, which get a token of External OAuth from the asking process whenever they need one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.live.gateways import Gateway
from tests.live.issuer import Issuer
from tests.peers.installed import provider
from tests.peers.rogue import Request, Rogue
from tests.peers.tls import serving
from tests.shapes.test_warehouse_hooks import SESSION, Account
from tests.shapes.worker import Seen, Trust, answer, work

LIVES, FOR = 2, 10
"""Seconds, in which a token of the issuer dies three times and more."""


class OAuthAccount(Account):
    """An account that lets in by tokens of an issuer."""

    def __init__(self, issuer: Issuer) -> None:
        super().__init__()
        self._issuer = issuer

    def _login(self, asked: dict[str, Any]) -> bytes:
        self.logins.append(asked)
        if asked["AUTHENTICATOR"] != "OAUTH" or not self._issuer.judge(asked["TOKEN"]):
            return answer({"success": False, "code": "390303", "message": "Invalid OAuth access token", "data": {}})
        return answer({"success": True, "data": SESSION})

    def _proves(self, request: Request) -> bool:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return request.headers["X-Snowflake-Authorization-Token-Type"] == "OAUTH" and self._issuer.judge(token)


class Ran(NamedTuple):
    """What the worker saw, and what the issuer and the account saw of it."""

    seen: Seen
    issuer: Issuer
    account: Account


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the hooks once."""
    provider("snowflake")
    trust, issuer = Trust(tmp_path_factory.mktemp("trust")), Issuer(LIVES)
    account = OAuthAccount(issuer)
    recipe = {"shape": "snowflake", "account": "acme", "live": True, "extra": {"insecure_mode": True}}
    tls = serving(trust.authority, "acme.snowflakecomputing.com")
    with Gateway(issuer) as gateway, Rogue(account, tls=tls) as server:
        seen = work(
            "snowflake_live",
            {"warehouse": {**recipe, "source": "short", "role": "r"}, "dead": {**recipe, "source": "expired"}},
            sources={"short": issuer.source(gateway)},
            home=tmp_path_factory.mktemp("worker"),
            FOR=str(FOR),
            HTTP_PROXY="http://127.0.0.1:1",
            LEADS_TO=str(server.port),
            NO_PROXY="snowflakecomputing.com",
            REQUESTS_CA_BUNDLE=trust.ca_file,
            SSL_CERT_FILE=trust.ca_file,
            SNOWFLAKE_DISABLE_PLATFORM_DETECTION="true",
        )
    return Ran(seen, issuer, account)


def test_hooks_outlive_their_tokens(ran: Ran) -> None:
    """Hooks that were made once open sessions and ask the SQL API through more than three lifetimes."""
    assert {tuple(found) for found in ran.seen["outlived"]} == {("AIRFLOW",), ("h",)}
    assert len(ran.issuer.used) > 3
    assert ran.issuer.wasted <= 0


def test_each_token_was_good(ran: Ran) -> None:
    """No token was refused but the dead one, which the account looked at."""
    assert len(ran.issuer.refused) == 1
    assert "Invalid OAuth access token" in ran.seen["dead"]["told"]


def test_token_names_the_user(ran: Ran) -> None:
    """What the file says arrives, and the name of the client does not."""
    assert {login["AUTHENTICATOR"] for login in ran.account.logins} == {"OAUTH"}
    assert not any(login.get("LOGIN_NAME") for login in ran.account.logins)


def test_operator_defers(ran: Ran) -> None:
    """The operator submits by one token, and its trigger polls by what is fresh then."""
    assert ran.seen["deferred"]["event"] == {"status": "success", "statement_query_ids": ["h"]}


def test_connection_is_read_once(ran: Ran) -> None:
    """Neither hook asks for its connection when it needs a token."""
    assert ran.seen["reads"] < 5


def test_nothing_leaks(ran: Ran) -> None:
    """No logger writes a token, however talkative; no error, row, event or masked URI holds one."""
    shown = f"{ran.seen.log}{ran.seen['uris']}{ran.seen['deferred']}"
    assert ran.seen.leaks() == [token for token in ran.issuer.granted if token in shown] == []
