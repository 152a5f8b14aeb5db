"""
One bounded HTTP exchange with a provider.

Over urllib3 alone, so that nothing in the environment steers it: no proxy variables, no ``.netrc``, no cookies, no
redirect is followed, and a compressed body is left compressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import SourceFailed

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

    from airflow_ephemeral_secrets.sources.base import Network

LARGEST_BODY = 64 * 1024
CONNECT = 2.0
READ = 5.0


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
) -> Answer:
    """
    Send one request and read one answer.

    :param url: https, or http to a loopback host
    :raises SourceFailed: when there is no whole answer of at most 64 KiB before the deadline, or it is a redirect
    """
    import urllib3

    left = deadline.remaining()
    if left <= 0:
        raise _failed(url, "no time left", "timeout")
    timeout = urllib3.Timeout(connect=min(CONNECT, left), read=min(READ, left))
    try:
        with _pool(network) as pool:
            response = pool.request(
                method,
                url,
                headers=dict(headers),
                body=body,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                content = _read(response, url, deadline)
            finally:
                response.close()
    except urllib3.exceptions.NewConnectionError:
        raise _failed(url, "no connection", "unreachable") from None
    except urllib3.exceptions.TimeoutError:
        raise _failed(url, "no answer in time", "timeout") from None
    except urllib3.exceptions.SSLError:
        raise _failed(url, "its certificate is not trusted", "tls", "network.ca_file") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _failed(url, f"no connection ({type(error).__name__})", "unreachable") from None
    if 300 <= response.status < 400:
        raise _failed(url, f"a redirect ({response.status}), which is never followed", "redirect")
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)


def host(url: str) -> str:
    """Name the host and port of a URL, for messages."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _pool(network: Network) -> PoolManager:
    import urllib3

    if network.proxy:
        return urllib3.ProxyManager(network.proxy, cert_reqs="CERT_REQUIRED", ca_certs=network.ca_file)
    return urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=network.ca_file)


def _read(response: BaseHTTPResponse, url: str, deadline: Deadline) -> bytes:
    content = bytearray()
    while chunk := response.read1(LARGEST_BODY):
        content += chunk
        if len(content) > LARGEST_BODY:
            raise _failed(url, f"an answer of over {LARGEST_BODY // 1024} KiB", "too_large")
        if not deadline.remaining():
            raise _failed(url, "an answer too slow to wait for", "timeout")
    return bytes(content)


def _failed(url: str, what: str, code: str, hint: str | None = None) -> SourceFailed:
    return SourceFailed(f"{host(url)}: {what}", code=code, hint=hint)
