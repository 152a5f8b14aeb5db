"""The loopback endpoint: who is let in, and that it costs nothing where nobody needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from airflow_ephemeral_secrets.live.endpoint import UNUSED, Endpoint
from airflow_ephemeral_secrets.live.face import Answered, Asked
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, Route
from airflow_ephemeral_secrets.testing import FakeClock


class Echo:
    """A face that tells what it was asked."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name
        self.asked: list[Asked] = []

    def answer(self, asked: Asked) -> Answered:
        self.asked.append(asked)
        return Answered(200, [("Content-Length", str(len(self.name)))], iter([self.name.encode()]))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


def port(route: Route) -> int:
    return int(route.url.rpartition(":")[2])


def say(route: Route, raw: str) -> str:
    """Send what stands there, and read all that comes back."""
    with socket.create_connection(("127.0.0.1", port(route)), timeout=10) as client:
        client.sendall(raw.replace("\n", "\r\n").encode())
        with suppress(OSError):  # a server that has had enough may be gone already
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b"")).decode()


def request(
    route: Route,
    *,
    target: str = "/x",
    host: str | None = None,
    header: str = CAPABILITY,
    scheme: str = "",
    capability: str | None = None,
) -> str:
    here = f"127.0.0.1:{port(route)}" if host is None else host
    word = route.capability if capability is None else capability
    return say(route, f"GET {target} HTTP/1.1\nHost: {here}\n{header}: {scheme}{word}\n\n")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({}, "200", id="right"),
        pytest.param({"capability": ""}, "407", id="no capability"),
        pytest.param({"capability": "x" * 43}, "407", id="wrong capability"),
        pytest.param({"capability": "\u00fc"}, "407", id="capability beyond ASCII"),
        pytest.param({"header": "Authorization", "scheme": "Bearer "}, "200", id="as a token"),
        pytest.param({"header": "Authorization"}, "200", id="as a bare token"),
        pytest.param({"header": "Authorization", "scheme": "Bearer ", "capability": "x"}, "407", id="wrong token"),
        pytest.param({"header": "X-Other"}, "407", id="another header"),
        pytest.param({"host": "localhost:{port}"}, "200", id="localhost"),
        pytest.param({"host": "127.0.0.1"}, "421", id="no port"),
        pytest.param({"host": "evil.example.com:{port}"}, "421", id="rebound name"),
        pytest.param({"target": "http://evil.example.com/"}, "400", id="as a proxy"),
        pytest.param({"target": "*"}, "400", id="no path"),
    ],
)
def test_who_is_let_in(endpoint: Endpoint, given: dict[str, str], status: str) -> None:
    """Only who asks this very host, for a path, with the capability of a route reaches what is behind it."""
    face = Echo()
    route = endpoint.route("key", lambda: face)
    answer = request(route, **{name: value.replace("{port}", str(port(route))) for name, value in given.items()})

    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert len(face.asked) == (status == "200")
    assert route.capability not in answer


class Desk(Echo):
    """A desk that tells the capability it demands, and the host it was asked by."""

    def answer(self, asked: Asked) -> Answered:
        host = {name.lower(): value for name, value in asked.headers}["host"]
        self.name = f"{self.name} {host}"
        return super().answer(asked)


def test_desks_have_paths(endpoint: Endpoint) -> None:
    """A desk is found by its path, proves its clients itself, and is no face that another capability leads to."""
    face, desk = endpoint.route("face", Echo), endpoint.desk("desk", Desk)
    path = desk.url.removeprefix(face.url)
    asked = say(face, f"GET {path}?x=1 HTTP/1.1\nHost: 127.0.0.1:{port(face)}\n\n")

    assert asked.endswith(f"{desk.capability} 127.0.0.1:{port(face)}")
    assert endpoint.desk("desk", Desk) == desk
    assert request(face, target=path).endswith("echo")
    assert request(face, target="/", capability=desk.capability).startswith("HTTP/1.1 407 ")
    assert request(face, target=f"{path}x", capability="").startswith("HTTP/1.1 407 ")


def test_each_capability_leads_to_its_own(endpoint: Endpoint) -> None:
    """Two routes share a server and nothing else; the same request gets the same route."""
    one, other = endpoint.route("one", lambda: Echo("one")), endpoint.route("other", lambda: Echo("other"))

    assert one.url == other.url
    assert request(one).endswith("one")
    assert request(other).endswith("other")
    assert endpoint.route("one", lambda: Echo("never")) == one
    assert request(one).endswith("one")


@pytest.mark.parametrize(
    "raw",
    [
        "nonsense\n\n",
        "GET /x HTTP/9.9\n\n",
        "GET /x HTTP/1.1\n\n",
        "GET /x HTTP/1.1\nHost: 127.0.0.1:{port}\nContent-Length: 5\nContent-Length: 6\n\n",
        "GET /x HTTP/1.1\nHost: 127.0.0.1:{port}\n" + "X: y\n" * 20_000 + "\n",
        "POST /x HTTP/1.1\nHost: 127.0.0.1:{port}\n{capability}\nTransfer-Encoding: chunked\n\nzz\n",
        "",
    ],
    ids=["nonsense", "version", "no host", "two lengths", "large head", "bad chunk", "nothing"],
)
def test_nonsense_is_dropped(endpoint: Endpoint, raw: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What is not HTTP ends its own connection, says nothing anywhere, and the next client is served."""
    route = endpoint.route("key", Echo)
    say(route, raw.replace("{port}", str(port(route))).replace("{capability}", f"{CAPABILITY}: {route.capability}"))

    assert request(route).startswith("HTTP/1.1 200 ")
    assert capfd.readouterr() == ("", "")


def test_connections_are_kept(endpoint: Endpoint) -> None:
    """Requests follow each other on one connection, also after a body that nobody read."""
    route = endpoint.route("key", Echo)
    head = f"Host: 127.0.0.1:{port(route)}\n{CAPABILITY}: {route.capability}\n"
    answers = say(route, f"POST /a HTTP/1.1\n{head}Content-Length: 3\n\nxyzGET /b HTTP/1.1\n{head}\n")

    assert answers.count("HTTP/1.1 200 ") == 2


def test_waits_for_no_body_that_waits_for_us(endpoint: Endpoint) -> None:
    """A client that wants to be told before it sends its body is told."""

    class Holding(Echo):
        def answer(self, asked: Asked) -> Answered:
            asked.body.hold()
            return super().answer(asked)

    route = endpoint.route("key", Holding)
    with socket.create_connection(("127.0.0.1", port(route)), timeout=10) as client:
        client.sendall(
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port(route)}\r\n{CAPABILITY}: {route.capability}\r\n"
            "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(1_000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert client.recv(1_000).startswith(b"HTTP/1.1 200 ")


def test_nothing_starts_before_it_is_needed() -> None:
    """A process whose recipes need no endpoint has none: no thread, no socket, no HTTP library."""
    script = (
        "import sys, threading, airflow_ephemeral_secrets.live.routes as routes\n"
        "assert threading.active_count() == 1\n"
        "assert not {'h11', 'urllib3', 'botocore'} & set(sys.modules)\n"
        "assert routes.ENDPOINT._server is None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_closes_for_good(endpoint: Endpoint) -> None:
    """Once closed, its port is closed, its threads end and its capabilities are void."""
    before = set(threading.enumerate())
    route = endpoint.route("key", Echo)
    request(route)
    endpoint.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port(route)), timeout=1)
    assert endpoint.face(route.capability) is None
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_place_that_nobody_uses_is_closed() -> None:
    """A place ends a day after its last use, and whoever still asks for it is told what to do."""
    clock = FakeClock()
    with closing(Endpoint(clock)) as endpoint:
        kept, gone = endpoint.route("kept", Echo), endpoint.route("gone", Echo)
        desk = endpoint.desk("desk", Desk)
        for _ in range(3):
            clock.advance(UNUSED / 2)
            assert request(kept).startswith("HTTP/1.1 200 ")
        refused = request(gone)

        assert refused.startswith("HTTP/1.1 407 ")
        assert "closed after a day without use" in refused
        assert "looked up anew" in refused
        assert request(kept, target=desk.url.removeprefix(kept.url), capability="").startswith("HTTP/1.1 407 ")
        anew = endpoint.route("gone", Echo)
        assert anew.capability != gone.capability
        assert request(anew).startswith("HTTP/1.1 200 ")


def test_place_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk that the environment of the process names is closed neither after a day nor for others."""
    monkeypatch.setattr("airflow_ephemeral_secrets.live.endpoint.MOST_PLACES", 2)
    clock = FakeClock()
    with closing(Endpoint(clock)) as endpoint:
        desk = endpoint.desk("desk", Desk, stays=True)
        endpoint.route("old", Echo)
        clock.advance(UNUSED * 2)
        route = [endpoint.route(f"new {number}", Echo) for number in range(3)][-1]

        assert endpoint.desk("desk", Desk, stays=True) == desk
        assert request(route, target=desk.url.removeprefix(route.url), capability="").startswith("HTTP/1.1 200 ")


def test_places_are_bounded(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many places, the one that was used least recently goes."""
    monkeypatch.setattr("airflow_ephemeral_secrets.live.endpoint.MOST_PLACES", 2)
    first, second = endpoint.route("first", Echo), endpoint.route("second", Echo)
    request(first)
    third = endpoint.route("third", Echo)

    assert [request(route)[9:12] for route in (first, second, third)] == ["200", "407", "200"]


def test_forked_child_starts_its_own(endpoint: Endpoint) -> None:
    """A child serves itself by a server of its own, and its parent's goes on undisturbed."""
    route = endpoint.route("key", lambda: Echo("parent"))
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            endpoint.forked()
            own = endpoint.route("key", lambda: Echo("child"))
            ok = own != route and request(own).endswith("child") and request(route).endswith("parent")
            os.write(writer, b"1" if ok else b"0")
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 1) == b"1"
    os.close(reader)
    os.waitpid(child, 0)
    assert request(route).endswith("parent")
