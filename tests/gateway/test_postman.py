"""Collections as tasks: a real Airflow asks our backend, Newman runs, and an API looks at what it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.demo.leaks import Search
from airflow_ephemeral_secrets.gateway import PostmanCollectionOperator
from airflow_ephemeral_secrets.gateway.collection import CollectionError
from airflow_ephemeral_secrets.gateway.newman import NewmanError
from tests.gateway.collections import BREAKS, HOLDS, bearer, collection, echo, request
from tests.peers.installed import node, npm
from tests.peers.rogue import Rogue, hang, reply

TOKEN = "canary/token+with=odd&characters-Q7d9Xw2L"
KEY = "canary-api-key-of-postman-8Zk1"
SUBSCRIPTION = "canary-subscription-key-3Rt6"
MADE = "made-by-the-login-request-5f3a"
CHATTY = f"""
console.log(pm.environment.get("api_token"), pm.request.headers, pm.response.text());
console.log(btoa("x" + pm.environment.get("api_token")));
pm.environment.set("session_token", "{MADE}");
console.log("{MADE}");
pm.test("holds for " + pm.environment.get("api_token"), () => pm.response.to.have.status(200));
"""

SCRIPT = """
import json, sys
from datetime import timedelta
from airflow.sdk import DAG
from airflow_ephemeral_secrets.gateway import PostmanCollectionOperator

given = json.loads(sys.argv[1])
with DAG("orders"):
    task = PostmanCollectionOperator(task_id="check", timeout=timedelta(seconds=30), **given)
try:
    print(json.dumps({"returned": task.execute({})}))
except Exception as error:
    failures = getattr(error, "failures", None)
    print(json.dumps({"raised": type(error).__name__, "told": str(error), "failures": failures}))
"""


@dataclass(frozen=True)
class Done:
    """What a task returned or raised, and all that its process wrote."""

    told: Mapping[str, Any]
    written: str


@pytest.fixture
def api() -> Iterator[Rogue]:
    with Rogue(echo) as server:
        yield server


def run(home: Path, api: str, **given: Any) -> Done:
    """Run the operator in a process of its own, as a task of the Dag ``orders``."""
    static = {"kind": "static", "token": {"secret": "TOKEN"}}
    headers = {"Ocp-Apim-Subscription-Key": {"secret": "SUBSCRIPTION"}}
    config = {
        "version": 1,
        "secrets": {name: {"from": "env", "name": name} for name in ("TOKEN", "KEY", "SUBSCRIPTION")},
        "sources": {"token": static, "postman": {"kind": "static", "token": {"secret": "KEY"}}},
        "connections": {
            "orders_api": {"source": "token", "shape": "http", "host": f"{api}/v1", "headers": headers},
            "orders_live": {"source": "token", "shape": "http", "host": f"{api}/v1", "live": True},
            "postman": {"source": "postman", "shape": "http", "host": api, "header": "X-API-Key", "prefix": ""},
        },
        "store": {"host": "off"},
    }
    environment = {
        **allowed(),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config": config}),
        "HTTP_PROXY": "http://127.0.0.1:1",
        "NODE_PATH": str(npm("newman").parent),
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{Path(node()).parent}:/usr/bin:/bin",
        "TMPDIR": str(home / "tmp"),
        "TOKEN": TOKEN,
        "KEY": KEY,
        "SUBSCRIPTION": SUBSCRIPTION,
    }
    (home / "tmp").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(given)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = (line for line in done.stdout.splitlines() if line.startswith('{"'))
    return Done(json.loads(told), done.stdout + done.stderr)


def saved(home: Path, content: Mapping[str, Any]) -> str:
    path = home / "orders.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_collection_runs_on_connections(api: Rogue, tmp_path: Path) -> None:
    """It proves itself with a minted token, brings the connection's headers and ids, and leaks nothing anywhere."""
    content = collection(request("list", "{{api_host}}/orders?page={{page}}", CHATTY), auth=bearer("{{api_token}}"))
    traces = tmp_path / "traces"
    given = {"collection": saved(tmp_path, content), "conn_ids": {"api": "orders_api"}, "variables": {"page": "7"}}
    done = run(tmp_path, api.url, trace=f"file://{traces}", **given)

    (asked,) = api.requests
    assert asked.target == "/v1/orders?page=7"
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Ocp-Apim-Subscription-Key"] == SUBSCRIPTION

    returned = done.told["returned"]
    assert returned["collection"] == "orders"
    assert (returned["requests"], returned["failed"], returned["left_out"]) == (1, 0, 0)
    assert returned["assertions"] == [{"item": "list", "name": "holds for ***", "ok": True, "skipped": False}]
    assert "list: GET 127.0.0.1" in done.written
    assert "list: console.log: ***" in done.written
    (trace,) = traces.glob("*/*.json")
    told = json.loads(trace.read_text())
    assert told["requests"][0]["path"] == "/v1/orders"
    assert asked.headers["X-Correlation-Id"] == told["correlation_id"]
    assert asked.headers["traceparent"].startswith(f"00-{told['correlation_id']}-")

    search = Search({"token": TOKEN, "subscription": SUBSCRIPTION, "made by a script": MADE})
    assert search.content("written", done.written.encode()) == set()
    Path(given["collection"]).unlink()  # it holds what the script makes
    assert search.tree(tmp_path) == set()
    assert search.bytes > 1_000


def test_a_live_connection_is_followed(api: Rogue, tmp_path: Path) -> None:
    """A collection written for a plain connection runs with a live one: the endpoint proves each request anew."""
    content = collection(request("list", "{{api_host}}/orders"), auth=bearer("{{api_token}}"))
    done = run(tmp_path, api.url, collection=saved(tmp_path, content), conn_ids={"api": "orders_live"})
    assert done.told["returned"]["failed"] == 0
    (asked,) = api.requests
    assert (asked.target, asked.headers["Authorization"]) == ("/v1/orders", f"Bearer {TOKEN}")
    assert asked.headers["X-Lease-Token"] is None


def test_failed_assertions_fail_the_task(api: Rogue, tmp_path: Path) -> None:
    """What failed is named in the error, and what an assertion compared is not."""
    content = collection(
        request("list", "{{api_host}}/orders", f"{HOLDS}\n{BREAKS}"), request("down", "http://127.0.0.1:1/", "")
    )
    done = run(tmp_path, api.url, collection=saved(tmp_path, content), conn_ids={"api": "orders_api"})
    failures = ["list: has orders", "down: no answer from 127.0.0.1:1 (ECONNREFUSED)"]
    assert done.told["raised"] == "CollectionFailed"
    assert done.told["failures"] == failures
    assert done.told["told"] == f"collection orders: 2 failed: {'; '.join(failures)}"
    assert Search({"token": TOKEN}).content("written", done.written.encode()) == set()


def test_a_collection_is_fetched_with_a_key(tmp_path: Path) -> None:
    """With a connection to the Postman API, the collection is an id, and the key comes from our backend."""
    content = {"collection": collection(request("list", "{{api_host}}/orders"))}
    with Rogue(reply(json.dumps(content).encode(), Content_Type="application/json"), echo) as api:
        done = run(
            tmp_path, api.url, collection="123-abc/def", postman_conn_id="postman", conn_ids={"api": "orders_api"}
        )
    assert done.told["returned"]["requests"] == 1
    asked = api.requests[0]
    assert (asked.target, asked.headers["X-API-Key"]) == ("/collections/123-abc%2Fdef", KEY)
    assert api.requests[1].headers["X-API-Key"] is None
    assert Search({"key": KEY}).content("written", done.written.encode()) == set()


def test_a_key_that_is_refused_is_explained(tmp_path: Path) -> None:
    """What the Postman API would not do is told with what helps, and without its words."""
    body = json.dumps({"error": {"name": "AuthenticationError", "message": f"Invalid API Key {KEY}"}}).encode()
    with Rogue(reply(body, status=401)) as api:
        done = run(tmp_path, api.url, collection="123-abc", postman_conn_id="postman")
    assert done.told["raised"] == "PostmanApiError"
    assert done.told["told"].startswith("the Postman API answered GET /collections/123-abc with 401")
    assert "try: an API key" in done.told["told"]
    assert "Invalid API Key" not in done.written


def test_a_connection_that_cannot_fill_is_named(api: Rogue, tmp_path: Path) -> None:
    """What a connection turns out not to have is told before anything is asked."""
    content = collection(request("list", "{{api_host}}/{{api_login}}"))
    done = run(tmp_path, api.url, collection=saved(tmp_path, content), conn_ids={"api": "orders_api"})
    assert done.told["raised"] == "CollectionError"
    assert "nothing fills {{api_login}}" in done.told["told"]
    assert api.requests == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"collection": "none.json"}, "none.json: cannot be read"),
        ({"conn_ids": {}}, "nothing fills {{api_host}}, {{api_token}}"),
        ({"variables": {}}, "nothing fills {{page}}"),
        ({"folder": "nowhere"}, "there is no folder or request 'nowhere'"),
        ({"collection": "{{ params.collection }}"}, None),
        ({"collection": "123-abc", "postman_conn_id": "postman"}, None),
        ({}, None),
    ],
)
def test_a_file_is_looked_at_while_the_dag_is_parsed(
    given: dict[str, Any], problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot run is an import error of the Dag; a file is where the Dag's is, and nothing is run or asked."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        content = collection(request("list", "{{api_host}}/{{page}}"), auth=bearer("{{api_token}}"))
        path = saved(Path(folder), content)
        arguments = {
            "collection": str(Path(path).relative_to(Path(__file__).parent)),
            "conn_ids": {"api": "orders_api"},
            "variables": {"page": "1"},
            **given,
        }

        def parse() -> None:
            with DAG("orders"):
                PostmanCollectionOperator(task_id="check", **arguments)

        if problem is None:
            parse()
            return
        with pytest.raises(CollectionError) as caught:
            parse()
        assert problem in str(caught.value)


def test_a_task_that_is_ended_ends_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """on_kill ends Newman, and what it waits for is left at once."""
    monkeypatch.setenv("PATH", str(Path(node()).parent))
    monkeypatch.setenv("NODE_PATH", str(npm("newman").parent))
    tasks: list[PostmanCollectionOperator] = []

    def kill(peer: Any) -> None:
        peer.read()
        tasks[0].on_kill()
        assert peer.gone(10)

    with Rogue(kill, hang()) as api:
        path = saved(tmp_path, collection(request("slow", f"{api.url}/x"), request("never", f"{api.url}/y")))
        tasks.append(PostmanCollectionOperator(task_id="check", collection=path, timeout=timedelta(seconds=30)))
        with pytest.raises(NewmanError, match="newman was ended by something else"):
            tasks[0].execute({})
        assert len(api.requests) == 1
