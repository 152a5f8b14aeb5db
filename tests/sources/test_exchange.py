"""One bounded exchange: what is sent, what is taken, and what in the environment could steer it."""

from __future__ import annotations

import gzip
import logging
import ssl
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets.clock import Deadline, Instant, SystemClock
from airflow_ephemeral_secrets.errors import MintError, SourceFailed
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import LARGEST_BODY, Answer, exchange, host, skew
from airflow_ephemeral_secrets.testing import FakeClock
from tests.peers.rogue import Rogue, Script, close, deaf, drip, hang, reply, response, say, tunnel
from tests.peers.tls import serving
from tests.sources.asking import story

CANARY = "canary-of-an-exchange"
PLAIN = Network()


def send(
    url: str, *, network: Network = PLAIN, body: bytes | None = b"a body", seconds: float = 10.0, **headers: str
) -> Answer:
    deadline = Deadline(SystemClock(), seconds)
    return exchange("POST", url, headers=headers, body=body, network=network, deadline=deadline)


def failure(url: str, *, network: Network = PLAIN, seconds: float = 10.0) -> MintError:
    with pytest.raises(MintError) as caught:
        send(url, network=network, seconds=seconds)
    return caught.value


def test_carries_a_request_and_an_answer() -> None:
    """The method, path, headers and body arrive as given; status, headers and body come back as they are."""
    with Rogue(reply(b"an answer", status=418, X_Amzn_RequestId="r1")) as server:
        answer = send(f"{server.url}/a/path?and=query", Content_Type="text/x-test")

    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/a/path?and=query", b"a body")
    assert request.headers["Content_Type"] == "text/x-test"
    assert (answer.status, answer.headers["x-amzn-requestid"], answer.body) == (418, "r1", b"an answer")


def test_answer_can_be_printed() -> None:
    """The body is not part of how an answer shows itself."""
    answer = Answer(200, {"x": CANARY}, CANARY.encode())

    assert repr(answer) == f"Answer(status=200, {len(CANARY)} bytes)"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "fits"), [(0, True), (LARGEST_BODY, True), (LARGEST_BODY + 1, False)])
def test_largest_body(size: int, fits: bool, chunked: bool) -> None:
    """A body of 64 KiB is taken whole, one byte more is refused, whether its length is announced or not."""
    raw = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode() + b"x" * size + b"\r\n0\r\n\r\n"
    whole = raw.replace(b"0\r\n\r\n0\r\n\r\n", b"0\r\n\r\n") if chunked else response(b"x" * size)
    with Rogue(say(whole)) as server:
        if fits:
            assert send(server.url).body == b"x" * size
        else:
            assert failure(server.url).code == "too_large"


def test_compressed_body_stays_compressed() -> None:
    """No compression was asked for, so nothing is decompressed, however small it came."""
    bomb = gzip.compress(b"\0" * 10_000_000)
    with Rogue(reply(bomb, Content_Encoding="gzip")) as server:
        assert send(server.url).body == bomb

    assert server.requests[0].headers["Accept-Encoding"] in (None, "identity")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_redirect_is_never_followed(status: int) -> None:
    """Any 3xx is an error, and whoever it points to is not asked."""
    with Rogue(reply()) as other, Rogue(reply(CANARY.encode(), status=status, Location=other.url)) as server:
        error = failure(server.url)

    assert error.code == "redirect"
    assert str(status) in str(error)
    assert other.connections == 0


def test_cookies_are_not_kept() -> None:
    """Two exchanges know nothing of each other."""
    with Rogue(reply(Set_Cookie=f"session={CANARY}")) as server:
        send(server.url)
        send(server.url)

    assert [request.headers["Cookie"] for request in server.requests] == [None, None]


def test_no_time_left_is_no_request() -> None:
    """At the deadline nothing is sent any more."""
    clock = FakeClock()
    deadline = Deadline(clock, 10)
    clock.advance(10)
    with Rogue(reply()) as server, pytest.raises(SourceFailed) as caught:
        exchange("POST", server.url, headers={}, body=None, network=PLAIN, deadline=deadline)

    assert caught.value.code == "timeout"
    assert server.connections == 0


def test_time_may_end_between_two_looks_at_the_clock() -> None:
    """A process that stood still after it had time left has had no answer in time, and nothing worse."""

    class Leaping(SystemClock):
        def now(self) -> Instant:
            leaps.append(6.0)
            return Instant(super().now().wall, sum(leaps))

    leaps: list[float] = []
    deadline = Deadline(Leaping(), 10.0)
    with Rogue(reply(b"{}")) as server, pytest.raises(MintError) as caught:
        exchange("POST", server.url, headers={}, body=None, network=PLAIN, deadline=deadline)

    assert caught.value.code == "timeout"


@pytest.mark.parametrize("url", ["https://127.0.0.1:{port}", "http://127.0.0.1:{port}"])
def test_deadline_bounds_handshake_and_answer(url: str) -> None:
    """A server that says nothing is left at the deadline, before and after the handshake."""
    with Rogue(deaf) as server:
        error = failure(url.format(port=server.port), seconds=0.2)
        assert server.deserted(6)

    assert (error.code, error.message) == ("timeout", f"127.0.0.1:{server.port}: no answer in time")


@pytest.mark.parametrize(
    ("tls", "proxied"), [(False, False), (True, False), (True, True)], ids=["http", "https", "tunnel"]
)
def test_deadline_ends_a_busy_server(tls: bool, proxied: bool, authority: trustme.CA, ca_file: str) -> None:
    """A server that never lets a read time out is cut off at the deadline all the same."""
    busy = drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000, seconds=0.001)
    with Rogue(tunnel) as proxy, Rogue(busy, tls=serving(authority) if tls else None) as server:
        network = Network(ca_file=ca_file, proxy=proxy.url if proxied else None)
        assert failure(server.url, network=network, seconds=0.3).code == "timeout"
        assert server.deserted(6)
        assert server.sent < 10_000
        assert proxy.deserted(6)


@pytest.mark.parametrize(
    "script",
    [
        hang(b"HTTP/1.1 401 Unauthorized\r\n"),
        hang(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n"),
        hang(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it"),
        drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 1_000, after=50, seconds=0.01),
    ],
    ids=["in its head", "before its body", "in its body", "dripping"],
)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_cut_off_is_not_the_end(script: Script, tls: bool, authority: trustme.CA, ca_file: str) -> None:
    """An answer that we cut off at the deadline is not taken for one that ended there, whatever it had said by then."""
    with Rogue(script, tls=serving(authority) if tls else None) as server:
        assert failure(server.url, network=Network(ca_file=ca_file), seconds=0.3).code == "timeout"
        assert server.deserted(6)


@pytest.mark.parametrize("script", [close, say(b""), say(response(b"all of it")[:-1])])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_broken_off_is_not_distrust(script: Script, tls: bool, authority: trustme.CA, ca_file: str) -> None:
    """A connection that ends too early may come again; only a certificate is a matter of trust."""
    with Rogue(script, tls=serving(authority) if tls else None) as server:
        assert failure(server.url, network=Network(ca_file=ca_file)).code == "unreachable"


def test_plain_http_is_for_loopback_only() -> None:
    """Whatever names the URL, what proves the worker is not sent in the clear."""
    with Rogue(reply()) as proxy, pytest.raises(SourceFailed):
        send("http://sts.test/", network=Network(proxy=proxy.url))

    assert proxy.requests == []


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://169.254.169.254/metadata", True),
        ("http://169.254.169.254:80", True),
        ("http://169.254.170.2/v2", True),
        ("http://metadata.google.internal/computeMetadata/v1/", True),
        ("http://[fe80::a9fe:a9fe]/", True),
        ("http://169.254.169.254.evil.test/", False),
        ("http://169.254.169.254@evil.test/", False),
        ("http://metadata.google.internal.evil.test/", False),
        ("http://metadata.google.internal@evil.test/", False),
        ("http://metadata-google-internal/", False),
        ("http://[fe80::1].evil.test/", False),
        ("http://[2001:db8::1]/", False),
        ("http://10.0.0.1/", False),
        ("ftp://169.254.169.254/", False),
    ],
)
def test_metadata_is_asked_in_the_clear(url: str, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond loopback, plain http may go to the metadata service of this host alone, and only if that is meant."""
    asked: list[str] = []

    def nobody(address: tuple[str, int], *_: object, **__: object) -> None:
        asked.append(address[0])
        raise OSError

    monkeypatch.setattr("urllib3.util.connection.create_connection", nobody)
    deadline = Deadline(SystemClock(), 10)
    for metadata in (False, True):
        with pytest.raises(SourceFailed) as caught:
            exchange("GET", url, headers={}, body=None, network=PLAIN, deadline=deadline, metadata=metadata)
        assert (caught.value.code != "insecure") is (metadata and sent)

    assert len(asked) == sent


def test_metadata_is_asked_by_no_proxy() -> None:
    """What belongs to this host is not asked of a proxy, which would answer with its own."""
    deadline = Deadline(SystemClock(), 10)
    with Rogue(reply(b"proxy")) as proxy, Rogue(reply(b"this host")) as server:
        network = Network(proxy=proxy.url)
        answer = exchange("GET", server.url, headers={}, body=None, network=network, deadline=deadline, metadata=True)

    assert answer.body == b"this host"
    assert proxy.connections == 0


@pytest.mark.parametrize("value", [f"{CANARY}\nX: y", f"{CANARY}\r\n\r\n", f"{CANARY} \u20ac", f"{CANARY}\udcff"])
def test_header_that_cannot_be_sent(value: str) -> None:
    """What no header can carry is not sent, and is an error of ours that does not hold it."""
    with Rogue(reply()) as server, pytest.raises(MintError) as caught:
        send(server.url, Authorization=value)

    assert server.requests == []
    assert CANARY not in story(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        f"HTTP/1.1 200 OK\r\n{CANARY}\r\nContent-Length: 2\r\n\r\nok".encode(),
        f"HTTP/1.1 200 OK\r\nX: y\r\n : {CANARY}\r\n{CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 {CANARY}\r\nContent-Length: 2\r\n\r\nok".encode(),
        f"HTTP/1.1 {CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 302 Found\r\nLocation: https://other.test/{CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode(),
    ],
    ids=ascii,
)
def test_nothing_is_logged(raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is asked nor what comes back is written into any log, at any level, however odd it is."""
    with caplog.at_level(logging.DEBUG), Rogue(say(raw)) as server, suppress(SourceFailed):
        send(f"{server.url}/path?query={CANARY}", Authorization=CANARY)

    assert CANARY not in caplog.text
    assert [record for record in caplog.records if CANARY in str(vars(record))] == []


def test_large_head_is_not_kept() -> None:
    """The head of an answer is bounded as its body is."""
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (index, b"y" * 65_000) for index in range(98)) + b"\r\n"
    with Rogue(say(head)) as server:
        failure(server.url)
        tracemalloc.start()
        try:
            failure(server.url)
            assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
        finally:
            tracemalloc.stop()


@given(
    st.one_of(st.none(), st.text(), st.from_regex(r"[A-Z][a-z]{2},? [0-9]{1,3} [A-Z][a-z]{2} [0-9]{2,5} [0-9:+ -]*"))
)
def test_any_date_can_be_compared(date: str | None) -> None:
    """Whatever stands where a date should, it is a number of seconds, or unknown."""
    assert isinstance(skew(date, FakeClock()), float)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://sts.test", "sts.test"),
        ("https://sts.test:8443/path@x?y#z", "sts.test:8443"),
        (f"https://sts.test?{CANARY}", "sts.test"),
        (f"https://sts.test#{CANARY}", "sts.test"),
        (f"https://user:{CANARY}@sts.test/", "sts.test"),
    ],
)
def test_names_the_host_only(url: str, name: str) -> None:
    """Messages name who was asked, without path, query or login."""
    assert host(url) == name


# The environment


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_proxies_of_the_environment_are_not_used(
    tls: bool, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that some variable names sees nothing of a request."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Rogue(reply()) as proxy, Rogue(reply(b"direct"), tls=serving(authority) if tls else None) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert send(server.url, network=Network(ca_file=ca_file)).body == b"direct"

    assert proxy.connections == 0


def test_netrc_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``.netrc`` adds no login to a request and replaces none."""
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login airflow password {CANARY}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Rogue(reply()) as server:
        send(server.url)
        send(server.url, Authorization="AWS4-HMAC-SHA256 ours")

    assert [request.headers["Authorization"] for request in server.requests] == [None, "AWS4-HMAC-SHA256 ours"]


# TLS


def test_trusts_the_configured_authority(authority: trustme.CA, ca_file: str) -> None:
    """``network.ca_file`` is whom we trust, whatever the environment says."""
    with Rogue(reply(b"trusted"), tls=serving(authority)) as server:
        assert send(server.url, network=Network(ca_file=ca_file)).body == b"trusted"


def untrusted(authority: trustme.CA) -> ssl.SSLContext:
    return serving(trustme.CA())


def of_another_host(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority, "sts.test")


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority, expired=True)


@pytest.mark.parametrize("make", [untrusted, of_another_host, expired])
def test_refuses_other_certificates(
    make: Callable[[trustme.CA], ssl.SSLContext], authority: trustme.CA, ca_file: str
) -> None:
    """A certificate of another authority, of another host or of the past is refused before anything is sent."""
    with Rogue(reply(), tls=make(authority)) as server:
        error = failure(server.url, network=Network(ca_file=ca_file))

    assert (error.code, error.hint) == ("tls", "network.ca_file")
    assert server.requests == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unusable_authority_is_named(content: str | None, tmp_path: Path) -> None:
    """Where ``network.ca_file`` itself is at fault, nobody looks for it in the network."""
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    error = failure("https://127.0.0.1:1", network=Network(ca_file=str(path)))

    assert "network.ca_file" in str(error)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_authorities_of_the_environment_are_not_trusted(
    name: str, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that some variable names neither adds trust nor takes it away."""
    with Rogue(reply(b"trusted"), tls=serving(authority)) as server:
        monkeypatch.setenv(name, ca_file)
        assert failure(server.url).code == "tls"
        monkeypatch.setenv(name, "/nowhere/ca.pem")
        assert send(server.url, network=Network(ca_file=ca_file)).body == b"trusted"


# The configured proxy


def test_configured_proxy_is_used() -> None:
    """``network.proxy`` gets every request."""
    with Rogue(reply(b"by proxy")) as proxy, Rogue(reply()) as server:
        assert send(f"{server.url}/path", network=Network(proxy=proxy.url)).body == b"by proxy"

    assert proxy.requests[0].target == f"{server.url}/path"
    assert server.connections == 0


def test_configured_proxy_sees_only_a_tunnel(authority: trustme.CA, ca_file: str) -> None:
    """Through a proxy, TLS ends at the provider: the proxy learns its name and nothing of the request."""
    with Rogue(tunnel) as proxy, Rogue(reply(b"by tunnel"), tls=serving(authority)) as server:
        network = Network(proxy=proxy.url, ca_file=ca_file)
        assert send(server.url, network=network, Authorization=CANARY).body == b"by tunnel"

    (request,) = proxy.requests
    assert (request.method, request.target) == ("CONNECT", f"127.0.0.1:{server.port}")
    assert CANARY not in request.everything
    assert server.requests[0].headers["Authorization"] == CANARY


def test_configured_proxy_is_not_believed(authority: trustme.CA) -> None:
    """The provider's certificate is checked behind a proxy too."""
    with Rogue(tunnel) as proxy, Rogue(reply(), tls=serving(authority)) as server:
        error = failure(server.url, network=Network(proxy=proxy.url))

    assert error.code == "tls"
    assert server.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_configured_proxy_that_refuses(scheme: str) -> None:
    """A proxy that says no, or is not there, is a failure; its answer and login are not told."""
    with Rogue(reply(CANARY.encode(), status=407)) as proxy:
        network = Network(proxy=proxy.url.replace("://", f"://user:{CANARY}@"))
        if scheme == "https":
            error = failure("https://sts.test", network=network)
            assert error.code == "unreachable"
            assert CANARY not in str(error)
        else:
            assert send("http://127.0.0.1:1", network=network).status == 407
    assert failure(f"{scheme}://127.0.0.1:1", network=network).code == "unreachable"
