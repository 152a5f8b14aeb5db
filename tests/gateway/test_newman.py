"""A run of Newman: what it is given, what it tells, how it ends. Newman itself runs, as npm has it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from airflow_ephemeral_secrets.demo.leaks import Search
from airflow_ephemeral_secrets.gateway.newman import NOT_A_PLACE, Newman, NewmanError, Run
from airflow_ephemeral_secrets.gateway.report import Report
from tests.gateway.collections import BREAKS, HOLDS, bearer, collection, echo, request
from tests.peers.installed import node, npm
from tests.peers.rogue import Rogue, drip, hang, reply, response

TOKEN = "canary/token+with=odd&characters-Q7d9Xw2L"
PASSWORD = "canary password/with+odd=characters"
MADE = "made-by-the-login-request-5f3a"
TIMEOUT = 30.0
CHATTY = """
const token = pm.environment.get("orders_token");
console.log(token, {token}, [pm.request.headers], pm.response, pm.response.text());
console.error(encodeURIComponent(token), Buffer.from(`x${token}`).toString("base64"));
console.error(Buffer.from(token).toString("hex"));
console.log("Basic " + btoa("reader:" + pm.environment.get("orders_password")));
pm.test(`the token ${token} works`, () => pm.response.to.have.status(200));
pm.test("the token is shown", () => pm.expect("").to.equal(token));
"""
LOGIN = """
pm.environment.set("session_token", "MADE");
console.log("logged in as " + pm.environment.get("session_token"));
""".replace("MADE", MADE)


@pytest.fixture
def newman() -> Newman:
    return Newman(node(), str(npm("newman")))


@pytest.fixture
def api() -> Iterator[Rogue]:
    with Rogue(echo) as server:
        yield server


def document(content: dict[str, Any], url: str = "", **more: Any) -> dict[str, Any]:
    values = {"orders_host": url, "orders_token": TOKEN, "orders_password": PASSWORD}
    return {
        "collection": content,
        "values": [{"key": name, "value": value} for name, value in values.items()],
        "secrets": [TOKEN, PASSWORD],
        "hosts": [],
        "folder": None,
        "working_dir": NOT_A_PLACE,
        "largest_response": 1 << 20,
        **more,
    }


def host(url: str, **more: Any) -> dict[str, Any]:
    return {"origin": url, "base": "", "headers": [], "named": [], "live": None, **more}


def run(newman: Newman, given: dict[str, Any]) -> list[dict[str, Any]]:
    return list(Run(newman, given, TIMEOUT).lines())


def test_a_run_tells_facts(newman: Newman) -> None:
    """Of each request its facts and the hash of its answer are told, and of each assertion its name and outcome."""
    body = b'{"id": 1001}'
    with Rogue(reply(body, status=200)) as api:
        asked = request("get order", "{{orders_host}}/orders/1001?expand=all", f"{HOLDS}\n{BREAKS}")
        (told,) = run(newman, document(collection(asked), api.url))
    assert told["item"] == "get order"
    (seen,) = told["requests"]
    assert seen.pop("ms") >= 0
    assert seen == {
        "method": "GET",
        "host": f"127.0.0.1:{api.port}",
        "path": "/orders/1001",
        "status": 200,
        "bytes": len(body),
        "sha256": sha256(body).hexdigest(),
    }
    assert [(one["name"], one["ok"]) for one in told["assertions"]] == [("answers", True), ("has orders", False)]


def test_nothing_secret_is_told(newman: Newman, api: Rogue) -> None:
    """What scripts print, names that hold variables, and paths are told without the secrets, in any form."""
    content = collection(
        request("named {{orders_token}}", "{{orders_host}}/{{orders_token}}/x?key={{orders_token}}", CHATTY),
        request("login", "{{orders_host}}/login", LOGIN),
        auth=bearer("{{orders_token}}"),
    )
    told = run(newman, document(content, api.url))
    assert TOKEN in str(api.requests[0].headers)
    search = Search({"token": TOKEN, "password": PASSWORD, "made": MADE})
    assert search.content("told", json.dumps(told).encode()) == set()
    assert len(told[0]["console"]) >= 3
    assert told[1]["console"] == [{"level": "log", "text": "logged in as ***"}]


def test_tokens_of_others_are_not_told(newman: Newman) -> None:
    """A token that an answer holds is hidden where it is known by its form or by the name it stands under."""
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyZWFkZXIifQ.c2lnbmF0dXJl"
    body = {"access_token": "opaque-7Hq2", "nested": {"refreshToken": "opaque-9Kd4"}, "jwt": jwt, "id": "order-1001"}
    test = "console.log(pm.response.text(), pm.response.json(), 'Bearer opaque-5Ls8');"
    with Rogue(reply(json.dumps(body).encode())) as api:
        (told,) = run(newman, document(collection(request("login", "{{orders_host}}/login", test)), api.url))
    (message,) = told["console"]
    assert message["text"].count("order-1001") == 2
    assert message["text"].count("***") == 7
    assert not any(secret in message["text"] for secret in ("opaque-", jwt))


@pytest.mark.parametrize(("name", "told"), [("page", "kept page-0"), ("token", "***")], ids=["answers", "secrets"])
def test_scripts_may_keep_much(newman: Newman, api: Rogue, name: str, told: str) -> None:
    """Answers that scripts keep cost no memory; of more secrets than can be looked for, no text is told at all."""
    test = f"""
    for (let n = 0; n < 40; n++) pm.environment.set("{name}" + n, ("{name}-" + n + " ").padEnd(800_000, "æ, "));
    pm.test("kept " + pm.environment.get("{name}0").slice(0, {len(name) + 2}), () => pm.response.to.have.status(200));
    """
    (item,) = run(newman, document(collection(request("keep", "{{orders_host}}/x", test)), api.url))
    assert item["assertions"] == [{"name": told, "ok": True, "skipped": False}]


def test_processes_hold_no_secret(newman: Newman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a collection runs, no secret stands in a command line, an environment, or a file of the run."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("API_KEY_OF_THE_WORKER", TOKEN)
    search = Search({"token": TOKEN})
    seen: dict[str, bytes] = {}

    def look(peer: Any) -> None:
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = Path(f"/proc/{process}/cmdline").read_bytes()
                if b"runner.cjs" in line:
                    seen["cmdline"] = line
                    seen["environ"] = Path(f"/proc/{process}/environ").read_bytes()
                    seen["files"] = "\n".join(
                        os.readlink(one) for one in Path(f"/proc/{process}/fd").iterdir()
                    ).encode()
            except OSError:
                continue
        echo(peer)

    with Rogue(look) as api:
        run(newman, document(collection(request("one", "{{orders_host}}/x", auth=bearer("{{orders_token}}"))), api.url))
    assert b"PATH" in seen["environ"]
    assert set().union(*(search.content(where, content) for where, content in seen.items())) == set()
    assert "/tmp" not in seen["files"].decode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"headers": [["X-Sub", "key-1"]]}, {"X-Sub": "key-1", "Authorization": f"Bearer {TOKEN}"}),
        ({"headers": [["authorization", "Bearer other"]]}, {"Authorization": f"Bearer {TOKEN}"}),
        ({"headers": [["X-Lease-Token", TOKEN]], "live": TOKEN}, {"X-Lease-Token": TOKEN, "Authorization": None}),
        ({"headers": [["X-Sub", "key-1"]], "base": "/orders"}, {"X-Sub": "key-1"}),
        ({"headers": [["X-Sub", "key-1"]], "base": "/ord"}, {"X-Sub": None}),
        ({"headers": [["X-Sub", "key-1"]], "origin": "http://127.0.0.1:1"}, {"X-Sub": None}),
        ({"named": [["traceparent", "00-abc-{span}-01"]]}, {"Authorization": f"Bearer {TOKEN}"}),
    ],
    ids=["added", "not replaced", "live", "below the path", "beside the path", "another host", "named"],
)
def test_requests_to_a_host_of_a_connection(
    newman: Newman, api: Rogue, case: dict[str, Any], expected: dict[str, str | None]
) -> None:
    """They get the connection's headers that they do not bring; the token of a live one gives way to the endpoint's."""
    content = collection(request("one", "{{orders_host}}/orders/1"), auth=bearer("{{orders_token}}"))
    run(newman, document(content, api.url, hosts=[{**host(api.url), **case}]))
    (asked,) = api.requests
    assert {name: asked.headers[name] for name in expected} == expected
    if case.get("named"):
        prefix, trace, span, _ = asked.headers["traceparent"].split("-")
        assert (prefix, trace, len(span)) == ("00", "abc", 16)


def test_no_auth_is_respected(newman: Newman, api: Rogue) -> None:
    """A request whose author chose "No Auth" asks without the connection's headers, as a test of a refusal must."""
    content = collection(request("refused", "{{orders_host}}/orders", auth={"type": "noauth"}))
    run(newman, document(content, api.url, hosts=[host(api.url, headers=[["X-Sub", "key-1"]])]))
    assert api.requests[0].headers["X-Sub"] is None


def test_no_failure_is_lost(newman: Newman, api: Rogue) -> None:
    """Of very many assertions the first are told, and of the others how many failed."""
    test = "for (let n = 0; n < 150; n++) pm.test(`test ${n}`, () => pm.expect(n % 2).to.equal(0));"
    (told,) = run(newman, document(collection(request("many", "{{orders_host}}/x", test)), api.url))
    assert (len(told["assertions"]), told["left_out"], told["failures_left_out"]) == (100, 50, 25)
    report = Report("orders")
    report.add(told)
    assert str(report.complaint()).startswith("collection orders: 75 failed: many: test 1; many: test 3; ")


@pytest.mark.parametrize(
    ("test", "url", "errors", "failed"),
    [
        ("undefined_function();", "{{orders_host}}/x", ["ReferenceError"], None),
        (HOLDS, "http://127.0.0.1:1/x", [], "ECONNREFUSED"),
    ],
    ids=["script", "no answer"],
)
def test_what_breaks_is_named(
    newman: Newman, api: Rogue, test: str, url: str, errors: list[str], failed: str | None
) -> None:
    """A script that breaks and a request without an answer are told by the name of the error alone."""
    (told,) = run(newman, document(collection(request("one", url, test)), api.url))
    assert told["errors"] == errors
    assert told["requests"][0].get("error") == failed


def test_an_answer_is_bounded(newman: Newman) -> None:
    """An answer that is larger than allowed is no answer."""
    with Rogue(reply(b"x" * 200_000)) as api:
        (told,) = run(
            newman, document(collection(request("large", "{{orders_host}}/x")), api.url, largest_response=1000)
        )
    assert "error" in told["requests"][0]


def test_settings_of_newman_are_not_read(
    newman: Newman, api: Rogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newmanrc that switches on reporters and exports, which write tokens, has no effect."""
    (tmp_path / ".postman").mkdir()
    settings = {"reporters": ["json"], "exportEnvironment": str(tmp_path / "environment.json")}
    settings["reporter"] = {"json": {"export": str(tmp_path / "report.json")}}
    (tmp_path / ".postman" / "newmanrc").write_text(json.dumps({"run": settings, **settings}))
    monkeypatch.setattr("airflow_ephemeral_secrets.gateway.newman.NOT_A_PLACE", str(tmp_path))
    (told,) = run(newman, document(collection(request("one", "{{orders_host}}/x")), api.url))
    assert told["requests"][0]["status"] == 200
    assert [path.name for path in tmp_path.iterdir()] == [".postman"]


def test_files_of_the_worker_are_not_read(newman: Newman, api: Rogue, tmp_path: Path) -> None:
    """A collection can send files of its own folder, and no other files."""
    own, other = tmp_path / "collections", tmp_path / "worker.txt"
    own.mkdir()
    other.write_text("secret of the worker")
    (own / "order.txt").write_text("an order")
    for source in ("order.txt", str(other)):
        sent = request("upload", "{{orders_host}}/x", "", method="POST", body={"mode": "file", "file": {"src": source}})
        run(newman, document(collection(sent), api.url, working_dir=str(own)))
    assert [asked.body for asked in api.requests] == [b"an order", b""]


def test_a_run_ends_in_time(newman: Newman) -> None:
    """A run that takes too long is ended, and says so."""
    with Rogue(hang(response(length=100))) as api:
        late = Run(newman, document(collection(request("slow", "{{orders_host}}/x")), api.url), 2.0)
        with pytest.raises(NewmanError, match="did not come to its end in 2 s"):
            list(late.lines())
        assert api.deserted()


def test_a_run_can_be_killed(newman: Newman) -> None:
    """Whoever kills a run ends its process at once."""
    with Rogue(drip(response(b"x" * 1000))) as api:
        killed = Run(newman, document(collection(request("slow", "{{orders_host}}/x")), api.url), TIMEOUT)
        errors: list[str] = []

        def read() -> None:
            try:
                list(killed.lines())
            except NewmanError as error:
                errors.append(error.code)

        thread = Thread(target=read)
        thread.start()
        while not api.requests:
            time.sleep(0.01)
        killed.kill()
        thread.join(20)
        assert api.deserted()
    assert errors == ["ended"]


def test_a_run_dies_with_its_parent(newman: Newman, tmp_path: Path) -> None:
    """The process ends by itself when whoever started it is gone, for then its pipe is closed."""
    with Rogue(hang()) as api:
        lost = Run(newman, document(collection(request("slow", "{{orders_host}}/x")), api.url), TIMEOUT)

        def read() -> None:
            with pytest.raises(NewmanError, match="ended by something else"):
                list(lost.lines())

        thread = Thread(target=read)
        thread.start()
        while not api.requests:
            time.sleep(0.01)
        assert lost._process
        assert lost._process.stdin
        lost._process.stdin.close()
        thread.join(20)
        assert lost._process.returncode == 1


def test_what_newman_cannot_run_is_said(newman: Newman) -> None:
    """Newman's own complaint reaches the task."""
    content = collection(request("one", "http://127.0.0.1:1/"))
    with pytest.raises(NewmanError, match=r"newman could not run the collection: .*nowhere"):
        run(newman, document(content, folder="nowhere"))


@pytest.mark.parametrize(
    ("node_path", "path", "code"),
    [("", "", "node_missing"), ("/nonexistent", "{node}", "newman_missing"), ("{newman}", "{node}", None)],
)
def test_newman_is_found(
    newman: Newman, node_path: str, path: str, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newman is where PATH and NODE_PATH say; what is missing is named, with the command that installs it."""
    places = {"node": str(Path(newman.node).parent), "newman": str(Path(newman.module).parent)}
    monkeypatch.setenv("PATH", path.format(**places))
    monkeypatch.setenv("NODE_PATH", node_path.format(**places))
    monkeypatch.setattr("airflow_ephemeral_secrets.gateway.newman.find_spec", lambda _: None)
    if code is None:
        assert Newman.find() == newman
        return
    with pytest.raises(NewmanError, match=r"try: .*(Node\.js 20|npm install -g newman)") as caught:
        Newman.find()
    assert caught.value.code == code


def test_the_wheel_brings_node(newman: Newman, monkeypatch: pytest.MonkeyPatch) -> None:
    """Node from its wheel is used where PATH has none."""
    wheel = Path(newman.node).parents[1]
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("NODE_PATH", str(Path(newman.module).parent))
    monkeypatch.syspath_prepend(str(wheel.parent))
    assert Newman.find() == newman
