"""The stock hooks of Snowflake and Databricks, against stubs that verify the JWT."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.peers import databricks, installed
from tests.peers.rogue import Peer, Request, Rogue, response
from tests.peers.tls import serving
from tests.shapes.worker import Seen, Trust, answer, proven, readable, verified, work

SESSION = {"token": "a-session", "masterToken": "a-master", "sessionId": 1, "parameters": [], "sessionInfo": {}}
ROWS = {
    "parameters": [],
    "queryId": "q",
    "queryResultFormat": "json",
    "rowset": [["AIRFLOW"]],
    "rowtype": [{"name": "WHO", "type": "text", "nullable": True, "length": 9, "precision": None, "scale": None}],
    "returned": 1,
    "statementTypeId": 4096,
    "total": 1,
}


class Account:
    """A Snowflake account: sessions for the connector, statements for the SQL API."""

    def __init__(self) -> None:
        self.logins: list[dict[str, Any]] = []
        self._running: set[str] = set()

    def __call__(self, peer: Peer) -> None:
        request = peer.read()
        path = urlsplit(request.target).path
        if path.startswith("/api/v2/statements"):
            peer.send(self._statement(request, path))
        elif path == "/session/v1/login-request":
            peer.send(self._login(json.loads(gzip.decompress(request.body))["data"]))
        elif path == "/queries/v1/query-request":
            known = request.headers["Authorization"] == 'Snowflake Token="a-session"'
            peer.send(answer({"success": known, "data": ROWS, "code": "390104"}))
        else:
            peer.send(answer({"success": True, "data": {}}))

    def _login(self, asked: dict[str, Any]) -> bytes:
        self.logins.append(asked)
        if asked["AUTHENTICATOR"] not in ("WORKLOAD_IDENTITY", "PROGRAMMATIC_ACCESS_TOKEN"):
            raise ValueError(asked["AUTHENTICATOR"])
        if not verified(asked["TOKEN"]):
            return answer({"success": False, "code": "390303", "message": "Invalid access token", "data": {}})
        return answer({"success": True, "data": SESSION})

    def _proves(self, request: Request) -> bool:
        kind = request.headers["X-Snowflake-Authorization-Token-Type"]
        return proven(request) == "Bearer" and kind == "PROGRAMMATIC_ACCESS_TOKEN"

    def _statement(self, request: Request, path: str) -> bytes:
        if not self._proves(request):
            return answer({"code": "390303", "message": "Invalid access token"}, status=401)
        if request.method == "POST":
            self._running.add("/api/v2/statements/h")
            return answer({"statementHandle": "h", "message": "accepted"}, status=202)
        status = 202 if path in self._running else 200
        self._running.discard(path)
        return answer({"statementHandle": "h", "message": "told"}, status=status)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def account() -> Account:
    return Account()


@pytest.fixture(scope="module")
def snowflake(trust: Trust, account: Account, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks of Snowflake once; ``acme.snowflakecomputing.com`` is here."""
    installed.provider("snowflake")
    acme = {"shape": "snowflake", "account": "acme", "extra": {"insecure_mode": True}}  # no OCSP responder is here
    pat = {**acme, "authenticator": "programmatic_access_token"}
    oauth = {"account": "acme", "authenticator": "oauth", "token": "{token}"}
    connections: dict[str, Any] = {
        "federated": {**acme, "source": "token", "login": "airflow", "warehouse": "w", "role": "r"},
        "pat": {**pat, "source": "token"},
        "federated_expired": {**acme, "source": "expired"},
        "pat_expired": {**pat, "source": "expired"},
        "oauth": {"source": "token", "shape": "fields", "conn_type": "snowflake", "extra": oauth},
    }
    with Rogue(account, tls=serving(trust.authority, "acme.snowflakecomputing.com")) as server:
        return work(
            "snowflake",
            connections,
            home=tmp_path_factory.mktemp("worker"),
            LEADS_TO=str(server.port),
            REQUESTS_CA_BUNDLE=trust.ca_file,
            SSL_CERT_FILE=trust.ca_file,
            SNOWFLAKE_DISABLE_PLATFORM_DETECTION="true",
        )


@pytest.mark.parametrize("name", ["federated", "pat"])
def test_snowflake_hook(snowflake: Seen, name: str) -> None:
    """Snowflake gives the connector a session for a JWT of a trusted issuer, and for an access token."""
    assert snowflake["hook"][name] == ["AIRFLOW"]


def test_snowflake_is_told_who(snowflake: Seen, account: Account) -> None:
    """What the file says arrives: the provider of the identity, and a login only where there is one."""
    first = next(login for login in account.logins if login["AUTHENTICATOR"] == "WORKLOAD_IDENTITY")
    other = next(login for login in account.logins if login["AUTHENTICATOR"] == "PROGRAMMATIC_ACCESS_TOKEN")

    assert (first["ACCOUNT_NAME"], first["PROVIDER"], first["LOGIN_NAME"]) == ("acme", "OIDC", "airflow")
    assert not other["LOGIN_NAME"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("federated_expired", "Invalid access token"),
        ("pat_expired", "Invalid access token"),
        ("oauth", "Grant type must be provided"),
    ],
)
def test_snowflake_refuses(snowflake: Seen, name: str, told: str) -> None:
    """A dead token fails; an OAuth token, which this shape does not offer, is refused by the hook itself."""
    assert told in snowflake["refused"][name]["told"]


def test_snowflake_operator_and_trigger(snowflake: Seen) -> None:
    """So does the operator get in, and the trigger, whose row holds the conn_id."""
    assert snowflake["operator"] == snowflake["sql_trigger"]["event"]["results"] == [["AIRFLOW"]]
    assert "'conn_id': 'pat'" in snowflake["sql_trigger"]["row"]


def test_snowflake_sql_api(snowflake: Seen) -> None:
    """The SQL API takes an access token with each request, from the operator and from the trigger it defers to."""
    assert snowflake["api"] is None
    assert snowflake["api_deferred"]["event"] == {"status": "success", "statement_query_ids": ["h"]}
    assert "'snowflake_conn_id': 'pat'" in snowflake["api_deferred"]["row"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("pat_expired", "401 Client Error"), ("federated", "Workload identity federation is not supported")],
)
def test_snowflake_sql_api_refuses(snowflake: Seen, name: str, told: str) -> None:
    """The SQL API refuses a dead token; for a federated JWT the hook does not even ask it."""
    assert told in snowflake["api_refused"][name]["told"]


def test_snowflake_hook_keeps_the_token(snowflake: Seen) -> None:
    """A hook that connects twice asks no more than one that connects once."""
    assert snowflake["twice"] == snowflake["once"] > 0


def test_snowflake_leaks_nothing(snowflake: Seen) -> None:
    """No logger writes a secret, however talkative; no error, row, event or masked URI holds one."""
    assert snowflake.leaks() == readable([snowflake.log, *snowflake["uris"]]) == []


class Workspace:
    """A Databricks workspace: runs of jobs, and a SQL warehouse."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._polls = 0

    def __call__(self, peer: Peer) -> None:
        request = peer.read()
        path = urlsplit(request.target).path
        self.asked.append((path, request.headers["Authorization"]))
        if proven(request) != "Bearer":
            peer.send(answer({"error_code": "PERMISSION_DENIED"}, status=403))
        elif path.startswith("/sql/1.0/warehouses/"):
            peer.send(response(databricks.call(request.body), Content_Type="application/x-thrift"))
        elif path == "/api/2.2/jobs/runs/submit":
            self._polls = 0
            peer.send(answer({"run_id": 1}))
        else:
            self._polls += 1
            peer.send(answer(self._run()))

    def _run(self) -> dict[str, Any]:
        ended = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
        state = ended if self._polls > 3 else {"life_cycle_state": "RUNNING", "state_message": ""}
        return {"run_id": 1, "job_id": 7, "run_page_url": "https://dbc.test/run/1", "state": state, "tasks": []}


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return Workspace()


@pytest.fixture(scope="module")
def bricks(trust: Trust, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks of Databricks once; ``dbc.cloud.databricks.com`` is here."""
    installed.provider("databricks")
    with (
        Rogue(workspace) as api,
        Rogue(workspace, tls=serving(trust.authority, "dbc.cloud.databricks.com")) as warehouse,
    ):
        rest = {"shape": "databricks", "host": "127.0.0.1", "port": api.port, "schema": "http"}
        login = {"conn_type": "databricks", "login": "token", "password": "{token}"}
        extra = {"http_path": "/sql/1.0/warehouses/w", "enable_telemetry": False, "_retry_stop_after_attempts_count": 1}
        right, wrong = ({**extra, "_tls_trusted_ca_file": file} for file in (trust.ca_file, trust.strange_file))
        sql = {"shape": "databricks", "host": "dbc.cloud.databricks.com", "extra": right}
        connections: dict[str, Any] = {
            "workspace": {**rest, "source": "token"},
            "workspace_expired": {**rest, "source": "expired"},
            "workspace_login": {**rest, "source": "token", "shape": "fields", **login},
            "sql": {**sql, "source": "token"},
            "sql_expired": {**sql, "source": "expired"},
            "sql_impostor": {**sql, "source": "token", "extra": wrong},
        }
        return work("databricks", connections, home=tmp_path_factory.mktemp("worker"), LEADS_TO=str(warehouse.port))


def test_databricks_operator_and_trigger(bricks: Seen) -> None:
    """Operator and trigger submit and await a run with the token; the row of the trigger holds the conn_id."""
    assert bricks["submitted"] is None
    assert json.loads(bricks["deferred"]["event"]["run_state"])["result_state"] == "SUCCESS"
    assert "'databricks_conn_id': 'workspace'" in bricks["deferred"]["row"]


def test_databricks_sql(bricks: Seen) -> None:
    """The SQL warehouse lets hook and operator in with the token."""
    assert bricks["sql"] == ["one"]
    assert ["one"] in bricks["operator"][1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("workspace_expired", "Status Code: 403"),
        ("workspace_login", "Status Code: 403"),
        ("sql_expired", "Error during request to server"),
        ("sql_impostor", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_databricks_refuses(bricks: Seen, name: str, told: str) -> None:
    """A dead token and a server that cannot prove itself fail, and so does a token beside a login."""
    assert told in bricks["refused"][name]["told"]


def test_databricks_login_would_make_it_basic(bricks: Seen, workspace: Workspace) -> None:
    """With a login the hook sends Basic, which is why the shape has no such field."""
    basic = [path for path, authorization in workspace.asked if str(authorization).startswith("Basic ")]

    assert bricks["refused"]["workspace_login"]
    assert basic == ["/api/2.2/jobs/runs/submit"]


def test_databricks_driver_offers_the_token_for_exchange(bricks: Seen, workspace: Workspace) -> None:
    """The SQL driver first asks the workspace to exchange the JWT of another issuer, and else uses it as it is."""
    assert bricks["sql"] == ["one"]
    assert ("/oidc/v1/token", None) in workspace.asked


def test_databricks_hooks_keep_the_token(bricks: Seen) -> None:
    """A hook that asks the workspace twice asks for its connection once."""
    assert bricks["lookups"] == [1, 1]


def test_databricks_leaks_nothing(bricks: Seen) -> None:
    """No logger writes a secret, however talkative; no error, row, event or masked URI holds one."""
    assert bricks.leaks() == readable([bricks.log, *bricks["uris"]]) == []
