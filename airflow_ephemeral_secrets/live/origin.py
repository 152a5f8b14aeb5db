"""Faces that stand in for an API: each request goes on to it, with a credential that is fresh at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, MintError
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.body import IN_MEMORY, TooLarge
from airflow_ephemeral_secrets.live.endpoint import CHUNK, Answered, Asked, end_to_end, refusal
from airflow_ephemeral_secrets.live.signing import canonical_target, signature
from airflow_ephemeral_secrets.masking import basic
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import CONNECT, host, pool

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CONNECTIONS = 32
SILENCE = 300.0
"""Seconds to wait for an upstream that says nothing."""
EXPIRED = ("ExpiredToken", "UnrecognizedClient", "InvalidClientTokenId", "InvalidToken")
SIGNED = ("content-type", "content-md5", "x-amz-")


class Supplying(Protocol):
    """Gives leases and takes back those that were rejected."""

    def lease(self) -> Lease: ...

    def renew(self, lease: Lease, *, dead: bool) -> bool: ...


class Origin:
    """
    Send each request on to an API.

    :param upstream: the API's base URL
    :param supply: of its credentials
    """

    rejects = 401

    def __init__(self, upstream: str, supply: Supplying, network: Network) -> None:
        parts = urlsplit(upstream)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._base = parts.path.rstrip("/")
        self._supply = supply
        self._pool = pool(network, connections=CONNECTIONS)

    def answer(self, asked: Asked) -> Answered:
        """Send a request on, and once more with a new credential if the API takes the old one for dead."""
        try:
            again = self._prepare(asked)
            lease = self._supply.lease()
            response = self._send(asked, lease.credential)
            if again and response.status == self.rejects and self._supply.renew(lease, dead=self._expired(response)):
                response.drain_conn()
                response = self._send(asked, self._supply.lease().credential)
        except TooLarge:
            return refusal(413, "the body is too large to be held here")
        except EphemeralSecretsError as error:
            return _not_granted(error)
        except OSError as error:
            return self._unreachable(error)
        return Answered(response.status, list(self._headers(response)), _pieces(response))

    def _prepare(self, asked: Asked) -> bool:
        """Say whether the request can be sent twice: a body is held for that if it is small."""
        length = next((value for name, value in asked.headers if name.lower() == "content-length"), "")
        if length.isdigit() and int(length) <= IN_MEMORY:
            asked.body.hold()
            return True
        return not asked.body.expected

    def _send(self, asked: Asked, credential: Credential) -> BaseHTTPResponse:
        import urllib3
        from urllib3 import HTTPHeaderDict

        url, headers = self._authorized(asked, credential)
        try:
            return self._pool.request(
                asked.method,
                url,
                headers=HTTPHeaderDict(headers),
                body=asked.body.pieces() if asked.body.expected else None,
                timeout=urllib3.Timeout(connect=CONNECT, read=SILENCE),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            name = type(error).__name__
        raise OSError(name)

    def _authorized(self, asked: Asked, credential: Credential) -> tuple[str, list[tuple[str, str]]]:
        """Give the URL and headers to send."""
        raise NotImplementedError

    def _expired(self, response: BaseHTTPResponse) -> bool:
        return False

    def _headers(self, response: BaseHTTPResponse) -> Iterator[tuple[str, str]]:
        for name, value in end_to_end(list(response.headers.iteritems())):
            yield name, self._here(value) if name.lower() == "location" else value

    def _here(self, location: str) -> str:
        """Lead a redirect within the API back through this face."""
        path = location.removeprefix(self._origin)
        if path.startswith("//") or not path.startswith(f"{self._base}/"):
            return location
        return path.removeprefix(self._base)

    def _unreachable(self, error: OSError) -> Answered:
        return refusal(502, f"{host(self._origin)}: no answer ({error if error.args else type(error).__name__})")


class BearerOrigin(Origin):
    """
    Put a token into a header of each request that has none of its own.

    :param header: its name
    :param prefix: what stands before the token
    """

    def __init__(self, upstream: str, supply: Supplying, network: Network, *, header: str, prefix: str) -> None:
        super().__init__(upstream, supply, network)
        self._header = header
        self._prefix = prefix

    def _authorized(self, asked: Asked, credential: Credential) -> tuple[str, list[tuple[str, str]]]:
        headers = list(asked.headers)
        name, value = self._proof(credential)
        if not any(given.lower() == name.lower() for given, _ in headers):
            headers.append((name, value))
        return f"{self._origin}{self._base}{asked.target}", headers

    def _proof(self, credential: Credential) -> tuple[str, str]:
        if isinstance(credential, BasicCredential):
            return "Authorization", f"Basic {basic(credential.username, credential.password)}"
        assert isinstance(credential, BearerToken)
        return self._header, self._prefix + credential.token


class SigningOrigin(Origin):
    """
    Sign each request for AWS.

    :param service: as the signature names it, such as ``execute-api``
    """

    rejects = 403

    def __init__(self, upstream: str, supply: Supplying, network: Network, *, service: str, region: str) -> None:
        super().__init__(upstream, supply, network)
        self._service = service
        self._region = region

    def _prepare(self, asked: Asked) -> bool:
        asked.body.hold()
        return True

    def _authorized(self, asked: Asked, credential: Credential) -> tuple[str, list[tuple[str, str]]]:
        from urllib3.util import parse_url

        assert isinstance(credential, AwsCredential)
        url = parse_url(f"{self._origin}{canonical_target(self._base + asked.target)}").url  # as it will be sent
        headers = [(name, value) for name, value in asked.headers if name.lower() not in _OURS]
        covered: dict[str, str] = {}
        for name, value in headers:
            if (key := name.lower()).startswith(SIGNED):
                covered[key] = f"{covered[key]},{value}" if key in covered else value
        added = signature(
            asked.method,
            url,
            covered,
            asked.body.sha256,
            credential,
            service=self._service,
            region=self._region,
        )
        if asked.body.expected and not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(asked.body.size)))
        return url, [*headers, *added.items()]

    def _expired(self, response: BaseHTTPResponse) -> bool:
        return response.headers.get("x-amzn-errortype", "").startswith(EXPIRED)


_OURS = frozenset({"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "date"})


def _pieces(response: BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from response.stream(CHUNK, decode_content=False)
    finally:
        response.release_conn()


def _not_granted(error: EphemeralSecretsError) -> Answered:
    status = 403 if isinstance(error, AccessDenied) else 502
    answered = refusal(status, str(error))
    if isinstance(error, MintError) and error.retry_after:
        return answered._replace(headers=[*answered.headers, ("Retry-After", str(int(error.retry_after)))])
    return answered
