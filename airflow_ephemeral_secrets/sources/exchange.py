"""
One bounded HTTP exchange with a provider.

Over urllib3 alone, so that nothing in the environment steers it: no proxy variables, no ``.netrc``, no cookies, no
redirect is followed, and a compressed body is left compressed. TLS is our own context, for Python's default one adds
authorities and writes keys as ``SSL_CERT_FILE`` and ``SSLKEYLOGFILE`` say.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from io import BufferedIOBase
from threading import Event, Timer
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from airflow_ephemeral_secrets.clock import Clock, Deadline
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources.silence import silence

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.connection import HTTPConnection

    from airflow_ephemeral_secrets.sources.base import Network
    from airflow_ephemeral_secrets.sources.certificate import Certificate

_PRIVATE = re.compile(r"https://|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/|$)")
_METADATA = re.compile(r"http://(169\.254\.[0-9.]+|metadata\.google\.internal|\[fe80:[0-9a-f:]+\])(:[0-9]+)?(/|$)")
_HEADER = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
log = logging.getLogger(__name__)

LARGEST_BODY = 64 * 1024
CONNECT = 2.0
SKEW = 60.0
READ = 5.0
HINTS = {
    "insecure": "https",
    "redirect": "the URL that it leads to, or what stands between here and there",
    "timeout": "the network, network.proxy, or a longer network.deadline",
    "tls": "network.ca_file",
    "too_large": "what stands between here and there",
    "unreachable": "the network, network.proxy, or the endpoint's URL",
}


class Answer(Struct, frozen=True):
    """What came back; the body is never shown."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    network: Network,
    deadline: Deadline,
    certificate: Certificate | None = None,
    metadata: bool = False,
) -> Answer:
    """
    Send one request and read one answer.

    :param url: https, or http to a loopback host
    :param certificate: what this client presents (mutual TLS)
    :param metadata: whether it may go to the metadata service of this host: http to a link-local address, by no proxy
    :raises SourceFailed: when there is no whole answer of at most 64 KiB before the deadline, or it is a redirect
    :raises SourceUnavailable: when ``network.ca_file`` is not usable
    """
    import urllib3

    if not _PRIVATE.match(url) and not (metadata and _METADATA.match(url)):
        raise _failed(url, "plain http, which is for loopback only", "insecure")
    left = deadline.remaining()
    if left <= 0:
        raise _failed(url, "no time left", "timeout")
    _check_headers(url, headers)
    connections = pool(network, certificate, metadata=metadata)
    try:
        with silence("urllib3"), connections, _cut_off(connections, url, left) as was_cut_off:
            answer = _ask(connections, method, url, headers, body, deadline, left)
    except urllib3.exceptions.NewConnectionError:
        failure = _failed(url, "no connection", "unreachable")
    except urllib3.exceptions.TimeoutError:
        failure = _failed(url, "no answer in time", "timeout")
    except urllib3.exceptions.SSLError as error:
        if isinstance(error.args[0], ssl.SSLCertVerificationError):
            failure = _failed(url, "its certificate is not trusted", "tls")
        else:
            failure = _broken_off(url, type(error).__name__, deadline)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        failure = _broken_off(url, type(error).__name__, deadline)
    else:
        if was_cut_off():
            raise _failed(url, "no whole answer in time", "timeout")
        _compare_clocks(url, answer.headers.get("date"), deadline.clock)
        if not 300 <= answer.status < 400:
            return answer
        failure = _failed(url, f"a redirect ({answer.status}), which is never followed", "redirect")
    raise failure


def _ask(
    connections: PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: Deadline,
    left: float,
) -> Answer:
    import urllib3

    response = connections.request(
        method,
        url,
        headers=dict(headers),
        body=body,
        timeout=urllib3.Timeout(connect=min(CONNECT, left), read=min(READ, left)),
        retries=False,
        redirect=False,
        preload_content=False,
        decode_content=False,
    )
    try:
        content = _read(response, url, deadline)
    finally:
        response.close()
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)


def _check_headers(url: str, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER.fullmatch(value):
            raise SourceUnavailable(
                f"{host(url)}: not asked, for {name} holds what no header can carry",
                code="header_unusable",
                hint="the secret or field that goes into it: no line breaks, nothing beyond Latin-1",
            )


def skew(date: str | None, clock: Clock) -> float:
    """
    Say how many seconds this host's clock is ahead of the one that wrote a ``Date`` header (RFC 9110); 0 if unknown.

    :param clock: this host's
    """
    try:
        return clock.now().wall - parsedate_to_datetime(date).timestamp() if date else 0.0
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _compare_clocks(url: str, date: str | None, clock: Clock) -> None:
    ahead = skew(date, clock)
    if abs(ahead) > SKEW:
        way = "ahead of" if ahead > 0 else "behind"
        log.warning("this host's clock is %.0f s %s that of %s; expiry may be misjudged", abs(ahead), way, host(url))


def host(url: str) -> str:
    """Name the host and port of a URL, for messages."""
    return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]


def pool(
    network: Network,
    certificate: Certificate | None = None,
    *,
    metadata: bool = False,
    connections: int = 1,
    hosts: int = 10,
) -> PoolManager:
    """
    Make what connects to providers as the configuration says.

    :param certificate: what this client presents
    :param metadata: whether it goes to the metadata service of this host, which no proxy reaches
    :param connections: how many to a host are kept open
    :param hosts: how many have connections that are kept open
    :raises SourceUnavailable: when ``network.ca_file`` is not usable
    """
    import urllib3

    try:
        usual = _tls(network.ca_file)
        # a context of its own: no other request may present this certificate
        context = certificate.present(_tls.__wrapped__(network.ca_file)) if certificate else usual
    except OSError as error:
        raise SourceUnavailable(
            f"network.ca_file {network.ca_file} cannot be used ({type(error).__name__})", code="ca_file_unusable"
        ) from None
    proxy = None if metadata else network.proxy
    if proxy:
        return urllib3.ProxyManager(proxy, hosts, ssl_context=context, proxy_ssl_context=usual, maxsize=connections)
    return urllib3.PoolManager(hosts, ssl_context=context, maxsize=connections)


@contextmanager
def _cut_off(connections: PoolManager, url: str, seconds: float) -> Iterator[Callable[[], bool]]:
    """
    Shut the connection down at the deadline: a server that keeps sending is never waited for by a read timeout.

    :return: whether that has happened, for what was said until then looks like an answer that ended there
    """
    ended = Event()
    opened: list[HTTPConnection] = []
    here = connections.connection_from_url(url)
    make = here.ConnectionCls

    def connect(**given: Any) -> HTTPConnection:
        opened.append(make(**given))  # type: ignore[arg-type]  # it is one of urllib3's own classes
        opened[-1].response_class = _BoundedHead
        return opened[-1]

    def cut() -> None:
        ended.set()
        for connection in opened:
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    here.ConnectionCls = connect  # type: ignore[assignment]  # it is only ever called
    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield ended.is_set
    finally:
        timer.cancel()


class _BoundedHead(HTTPResponse):
    """An answer whose head is bounded as its body is; the standard library takes 6 MiB."""

    def begin(self) -> None:
        whole = self.fp
        self.fp = _Head(whole)  # type: ignore[assignment]  # all that is done with it here is to read lines
        super().begin()
        if self.fp is not None:  # as it is after an answer that has no body
            self.fp = whole


class _Head:
    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._left = LARGEST_BODY
        self.close = file.close
        self.flush = file.flush

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException("a head that is too large")
        return line


@lru_cache(maxsize=4)
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Trust the given authorities, else the system's, else certifi's; ``SSL_CERT_FILE`` and the like add none."""
    import certifi

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    system = ssl.get_default_verify_paths()
    file = ca_file or system.openssl_cafile
    if ca_file or os.path.isfile(file):
        context.load_verify_locations(cafile=file)
    elif os.path.isdir(system.openssl_capath) and os.listdir(system.openssl_capath):
        context.load_verify_locations(capath=system.openssl_capath)
    else:
        context.load_verify_locations(cafile=certifi.where())
    return context


def _read(response: BaseHTTPResponse, url: str, deadline: Deadline) -> bytes:
    content = bytearray()
    while chunk := response.read1(LARGEST_BODY):
        content += chunk
        if len(content) > LARGEST_BODY:
            raise _failed(url, f"an answer of over {LARGEST_BODY // 1024} KiB", "too_large")
        if not deadline.remaining():
            raise _failed(url, "an answer too slow to wait for", "timeout")
    return bytes(content)


def _broken_off(url: str, name: str, deadline: Deadline) -> SourceFailed:
    """Tell a connection that broke off by itself from one that was cut off at the deadline."""
    if not deadline.remaining():
        return _failed(url, "no answer in time", "timeout")
    return _failed(url, f"no connection ({name})", "unreachable")


def _failed(url: str, what: str, code: str) -> SourceFailed:
    return SourceFailed(f"{host(url)}: {what}", code=code, hint=HINTS.get(code))
