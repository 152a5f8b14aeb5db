"""The endpoint's server: what a client may do to it, for how long, and what is left when its process ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.live import conversation, server
from airflow_ephemeral_secrets.live.endpoint import Endpoint
from airflow_ephemeral_secrets.live.face import Answered, Asked, refusal
from airflow_ephemeral_secrets.live.server import Server
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, Route
from tests.live.test_endpoint import Echo, port, say

PATIENCE = 10.0


class Busy(Echo):
    """A face that answers once it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def answer(self, asked: Asked) -> Answered:
        self.entered.release()
        assert self.released.wait(PATIENCE)
        return super().answer(asked)


class Refusing:
    """A face that refuses everybody."""

    def answer(self, asked: Asked) -> Answered:
        return refusal(502, "nobody is there")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with closing(Endpoint()) as endpoint:
        yield endpoint


@pytest.fixture
def face() -> Echo:
    return Echo()


@pytest.fixture
def route(endpoint: Endpoint, face: Echo) -> Route:
    return endpoint.route("key", lambda: face)


def limited(endpoint: Endpoint, most: int, face: Echo) -> Route:
    """Open a route on a server with room for few."""
    endpoint._server = Server(endpoint, most)
    return endpoint.route("key", lambda: face)


def head(route: Route, start: str = "GET /x HTTP/1.1", *more: str) -> bytes:
    lines = [start, f"Host: 127.0.0.1:{port(route)}", f"{CAPABILITY}: {route.capability}", *more, "", ""]
    return "\r\n".join(lines).encode()


def connect(route: Route) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(route)), timeout=PATIENCE)


def read_answer(client: socket.socket) -> bytes:
    with closing(http.client.HTTPResponse(client)) as answer:
        answer.begin()
        return answer.read()


def at_last(happens: Callable[[], bool]) -> bool:
    """Wait until something happens."""
    ends = time.monotonic() + PATIENCE
    while not happens() and time.monotonic() < ends:
        time.sleep(0.01)
    return happens()


def refuses(number: int) -> bool:
    """Say whether nobody listens at a port."""
    try:
        socket.create_connection(("127.0.0.1", number), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("start", "more", "status", "told"),
    [
        ("GET /x HTTP/1.1", ["Content-Length: 3", "Transfer-Encoding: chunked"], 400, "not both"),
        ("GET /x HTTP/1.1", ["Transfer-Encoding: gzip, chunked"], 501, "not HTTP/1.1"),
        ("GET /x HTTP/1.1", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 501, "not HTTP/1.1"),
        ("GET /x HTTP/1.1", ["Content-Length: 3", "Content-Length: 4"], 400, "not HTTP/1.1"),
        ("GET /x HTTP/1.1", ["Content-Length: +3"], 400, "not HTTP/1.1"),
        ("GET /x HTTP/1.1", ["X-A: 1", " folded: 2"], 400, ""),
        ("GET /x HTTP/1.1", ["Content-Length : 3"], 400, "not HTTP/1.1"),
        ("GET /x HTTP/1.1", [f"X-Large: {'x' * 150_000}"], 431, "over 64 KiB"),
        ("GET /x HTTP/1.1", ["Connection: Upgrade", "Upgrade: websocket"], 501, "no websockets"),
        ("TRACE /x HTTP/1.1", [], 405, "would show the credential"),
        ("CONNECT api.example.com:443 HTTP/1.1", [], 400, "only paths"),
        ("CONNECT /x HTTP/1.1", [], 400, "only paths"),
        ("GET http://api.example.com/ HTTP/1.1", [], 400, "only paths"),
        ("GET /x HTTP/2.0", [], 505, "not HTTP/1.1"),
        ("PRI * HTTP/2.0", [], 505, "not HTTP/1.1"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(
    route: Route, face: Echo, start: str, more: list[str], status: int, told: str
) -> None:
    """A head that others might read differently, or that asks for more than an answer, reaches no face, and is told."""
    answer = say(route, (head(route, start, *more) + b"0\r\n\r\n" + head(route)).decode().replace("\r\n", "\n"))

    if (status, told) == (400, ""):  # a folded line is one header by the letter of HTTP/1.1, and is passed on as one
        assert face.asked[0].headers[-1][1] in ("1 folded: 2", "1")
        return
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert told in answer
    assert answer.count("HTTP/1.1") - answer.count("not HTTP/1.1") == 1
    assert face.asked == []


def test_other_upgrades_are_ignored(route: Route, face: Echo) -> None:
    """An offer to go on in HTTP/2 is answered in HTTP/1.1, as HTTP allows."""
    offer = head(route, "GET /x HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")

    assert say(route, offer.decode().replace("\r\n", "\n")).startswith("HTTP/1.1 200 ")
    assert not {"upgrade", "http2-settings", "connection"} & {name.lower() for name, _ in face.asked[0].headers}


def test_slow_head_is_hung_up_on(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head has so many seconds in all, however steadily it drips."""
    monkeypatch.setattr(conversation, "HEAD", 0.3)
    with connect(route) as client:
        client.settimeout(0.05)
        sent = 0
        for byte in (whole := head(route, "GET /x HTTP/1.1", f"X-Long: {'x' * 1_000}")):
            try:
                client.sendall(bytes([byte]))
                assert client.recv(1) == b""
            except TimeoutError:
                sent += 1
                continue
            except OSError:
                pass
            break
        assert 0 < sent < len(whole)


def test_idle_clients_make_room(endpoint: Endpoint, face: Echo) -> None:
    """Where there is no room, the client that has waited longest for its own next request is hung up on."""
    route = limited(endpoint, 2, face)
    with connect(route) as older, connect(route) as newer:
        for count, client in enumerate((older, newer), 1):
            client.sendall(head(route))
            assert read_answer(client) == b"echo"
            assert at_last(lambda count=count: len(endpoint._server._idle) == count)
        with connect(route) as third:
            third.sendall(head(route))
            assert read_answer(third) == b"echo"
        assert older.recv(1) == b""
        newer.sendall(head(route))
        assert read_answer(newer) == b"echo"


def test_clients_wait_for_room(endpoint: Endpoint) -> None:
    """Where everyone is busy, others wait until somebody is done."""
    busy = Busy()
    route = limited(endpoint, 1, busy)
    with connect(route) as first, connect(route) as second:
        for client in (first, second):
            client.sendall(head(route))
        assert busy.entered.acquire(timeout=PATIENCE)
        second.settimeout(0.2)
        with pytest.raises(TimeoutError):
            second.recv(1)
        busy.released.set()
        second.settimeout(PATIENCE)
        assert read_answer(first) == read_answer(second) == b"echo"


def test_client_who_waits_too_long_is_told(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds without room a client is told so, and is not just dropped."""
    monkeypatch.setattr(server, "ROOM", 0.05)
    busy = Busy()
    route = limited(endpoint, 1, busy)
    with connect(route) as first, connect(route) as second:
        first.sendall(head(route))
        assert busy.entered.acquire(timeout=PATIENCE)
        second.sendall(head(route))
        assert b"too many requests" in read_answer(second)
        busy.released.set()
        assert read_answer(first) == b"echo"


def test_all_who_wait_too_long_are_told_together(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes when there has been no room for so long is told at once, and does not wait for those before."""
    monkeypatch.setattr(server, "ROOM", 0.05)
    full, waits = Server(endpoint, 0), []
    acquire = full._room.acquire

    def counted(blocking: bool = True, timeout: float | None = None) -> bool:
        waits.append(timeout)
        return acquire(blocking, timeout)

    monkeypatch.setattr(full._room, "acquire", counted)
    try:
        assert not full._make_room()
        assert len(waits) > 1
        waits.clear()
        assert not any(full._make_room() for _ in range(3))
        assert waits == [None] * 3
        full._room.release()
        assert full._make_room()
        assert not full._make_room()
        assert len(waits) > 5
    finally:
        full.stop()


def test_no_thread_for_a_client(endpoint: Endpoint, face: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client for whom there is no thread is hung up on, and the next one is served, in the same room."""
    route, start, failing = limited(endpoint, 1, face), threading.Thread.start, [True]

    def none_left(thread: threading.Thread) -> None:
        if thread.name == server.NAME and failing and failing.pop():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with connect(route) as first, suppress(ConnectionError):
        assert first.recv(1) == b""
    with connect(route) as second:
        second.sendall(head(route))
        assert read_answer(second) == b"echo"


@pytest.mark.parametrize("capability", [True, False])
def test_head_is_answered_without_a_body(endpoint: Endpoint, capability: bool) -> None:
    """Whoever asks for a head gets one, also where we refuse: with the length of the body that is not sent."""
    route = endpoint.route("key", Refusing)
    asked = head(route, "HEAD /x HTTP/1.1")
    with connect(route) as client:
        client.sendall(asked if capability else asked.replace(route.capability.encode(), b"another"))
        with closing(http.client.HTTPResponse(client, method="HEAD")) as answer:
            answer.begin()
            assert answer.status == (502 if capability else 407)
            assert int(answer.headers["Content-Length"]) > 0
        assert client.recv(1) == b""


def test_refusal_is_read_before_the_end(route: Route) -> None:
    """Who is refused while it still sends a body can read why: the connection is not torn down under its hands."""
    body = b"x" * 500_000
    with connect(route) as client:
        client.sendall(
            f"POST /x HTTP/1.1\r\nHost: 127.0.0.1:{port(route)}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert CAPABILITY.encode() in read_answer(client)


def test_answer_before_the_body_is_read(route: Route) -> None:
    """A face may answer without reading the body; the client's next request is served on the same connection."""
    with connect(route) as client:
        for _ in range(2):
            client.sendall(head(route, "POST /x HTTP/1.1", "Content-Length: 3000000") + b"x" * 3_000_000)
            assert read_answer(client) == b"echo"


def test_no_body_is_awaited_after_the_answer(route: Route) -> None:
    """A client that waits to be told to send its body, and gets an answer instead, is not waited for."""
    with connect(route) as client:
        client.sendall(head(route, "POST /x HTTP/1.1", "Content-Length: 3", "Expect: 100-continue"))
        assert read_answer(client) == b"echo"
        assert client.recv(1) == b""


def test_bug_of_ours_is_told_without_its_text(endpoint: Endpoint) -> None:
    """An error in a face is an answer that says where it was, and nothing of what it said."""

    class Broken(Echo):
        def answer(self, asked: Asked) -> Answered:
            raise ValueError("a secret")

    route = endpoint.route("key", Broken)
    answer = say(route, head(route).decode().replace("\r\n", "\n"))

    assert answer.startswith("HTTP/1.1 500 Internal Server Error")
    assert "ValueError at test_server.py:" in answer
    assert "a secret" not in answer


def test_many_at_once(endpoint: Endpoint, face: Echo) -> None:
    """More clients than there is room for are all answered."""
    route = limited(endpoint, 4, face)
    answers: list[bytes] = []

    def ask() -> None:
        with connect(route) as client:
            client.sendall(head(route))
            answers.append(read_answer(client))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == [b"echo"] * 40


LEFT_BEHIND = {
    "fork": "os.fork() or time.sleep(60)",
    "multiprocessing": "multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,)).start()",
    "subprocess": "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)",
    "exec": "os.posix_spawn(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'], os.environ)",
}
SCRIPT = """
import multiprocessing, os, socket, subprocess, sys, time
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.live.face import Answered

class Face:
    def answer(self, asked):
        return Answered(200, [("Content-Length", "0")], iter([]))

route = ENDPOINT.route("key", Face)
port = int(route.url.rpartition(":")[2])
kept = socket.create_connection(("127.0.0.1", port))
kept.sendall(f"GET / HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nX-Lease-Token: {route.capability}\\r\\n\\r\\n".encode())
kept.recv(1000)
print(port, flush=True)
"""


@pytest.mark.parametrize("how", LEFT_BEHIND)
def test_nothing_listens_once_the_process_is_killed(how: str) -> None:
    """A process that is killed leaves no open port behind, whatever children of its live on."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"{SCRIPT}{LEFT_BEHIND[how]}\nprint('ready', flush=True)\ntime.sleep(60)",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=allowed(), start_new_session=True) as process:
        assert process.stdout
        try:
            listening = int(process.stdout.readline())
            assert process.stdout.readline() == "ready\n"
            with socket.create_connection(("127.0.0.1", listening), timeout=PATIENCE) as client:
                process.kill()
                process.wait(PATIENCE)
                assert client.recv(1) == b""
            assert at_last(lambda: refuses(listening))
            os.killpg(process.pid, 0)  # somebody is left
        finally:
            os.killpg(process.pid, signal.SIGKILL)
