"""The way on to an API: one request over connections that all places share, and its answer as it comes."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import CONNECT, pool

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

CONNECTIONS = 256
HOSTS = 100
SILENCE = 300.0
"""Seconds to wait for an API that says nothing."""
CHUNK = 64 * 1024


class Unanswered(Exception):
    """
    Say why the API gave no answer.

    :param status: the HTTP status that says so
    :param hung_up: whether it did so before any answer, as on a connection that has been idle for too long
    """

    def __init__(self, why: str, status: int = 502, *, hung_up: bool = False) -> None:
        super().__init__(why)
        self.status = status
        self.hung_up = hung_up


def send(
    connections: PoolManager, method: str, url: str, headers: list[tuple[str, str]], body: Iterator[bytes] | None
) -> BaseHTTPResponse:
    """
    Send one request, and read the head of its answer.

    :raises Unanswered: when there is none
    """
    import urllib3

    try:
        response = connections.request(
            method,
            url,
            headers=urllib3.HTTPHeaderDict(headers),
            body=body,
            timeout=urllib3.Timeout(connect=CONNECT, read=SILENCE),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        unanswered = _unanswered(error)
    else:
        if response.status >= 200:
            return response
        response.close()
        unanswered = Unanswered(f"an interim answer ({response.status}) where a final one was due")
    raise unanswered


class Content(Iterator[bytes]):
    """The body of an answer, each piece as soon as it has come."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def __next__(self) -> bytes:
        from urllib3.exceptions import HTTPError

        try:
            piece = self._response.read1(CHUNK, decode_content=False)
        except HTTPError as error:
            broken = type(error).__name__
        else:
            if piece:
                return piece
            raise StopIteration
        raise ConnectionAbortedError(f"the answer broke off ({broken})")

    def close(self) -> None:
        """Hang up on the API, unless it has said all."""
        self._response.close()
        self._response.release_conn()


_pools: dict[tuple[str | None, str | None], PoolManager] = {}
os.register_at_fork(after_in_child=_pools.clear)


def connections(network: Network) -> PoolManager:
    """Give the connections to APIs that all places of this process share, by the same proxy and authorities."""
    key = (network.proxy, network.ca_file)
    if key not in _pools:
        _pools[key] = pool(network, connections=CONNECTIONS, hosts=HOSTS)
    return _pools[key]


def _unanswered(error: Exception) -> Unanswered:
    from urllib3 import exceptions

    if isinstance(error, exceptions.NewConnectionError):
        return Unanswered("no answer: no connection")
    if isinstance(error, exceptions.TimeoutError):
        return Unanswered("no answer in time", 504)
    if isinstance(error, exceptions.ProxyError):
        return Unanswered("no answer: no connection through network.proxy")
    if isinstance(error, exceptions.SSLError) and isinstance(error.args[0], ssl.SSLCertVerificationError):
        return Unanswered("no answer: its certificate is not trusted; try: network.ca_file")
    hung_up = isinstance(error, exceptions.ProtocolError) and isinstance(error.args[-1], ConnectionError)
    return Unanswered(f"no answer: {type(error).__name__}", hung_up=hung_up)
