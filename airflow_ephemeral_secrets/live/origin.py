"""Faces that stand in for an API: each request goes on to it, with a credential that is fresh at that moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, MintError
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.body import IN_MEMORY, NoSpace, TooLarge
from airflow_ephemeral_secrets.live.face import Answered, Asked, end_to_end, refusal
from airflow_ephemeral_secrets.live.signing import canonical_target, signature
from airflow_ephemeral_secrets.live.upstream import Content, Unanswered, connections, send
from airflow_ephemeral_secrets.masking import basic
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import host

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods of which two requests do what one does (RFC 9110 section 9.2.2)."""
EXPIRED = ("ExpiredToken", "UnrecognizedClient", "InvalidClientTokenId", "InvalidToken")
SIGNED = ("content-type", "content-md5", "x-amz-")


class Supplying(Protocol):
    """Gives leases and takes back those that were rejected."""

    def lease(self) -> Lease: ...

    def renew(self, lease: Lease, *, dead: bool) -> bool: ...

    def worked(self, lease: Lease) -> None: ...

    def minted_in_vain(self, lease: Lease) -> None: ...


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
        self._scheme = parts.scheme
        self._address = _address(parts, parts.scheme)
        self._base = parts.path.rstrip("/")
        self._supply = supply
        self._pool = connections(network)

    def answer(self, asked: Asked) -> Answered:
        """Send a request on, and once more with a new credential if the API takes the old one for dead."""
        try:
            return self._answer(asked, again=self._prepare(asked))
        except TooLarge:
            return refusal(413, "the body is too large to be held here")
        except NoSpace as error:
            return refusal(507, f"the body cannot be held in {error}")
        except EphemeralSecretsError as error:
            return _not_granted(error)
        except Unanswered as error:
            return refusal(error.status, f"{host(self._origin)}: {error}")

    def _answer(self, asked: Asked, *, again: bool) -> Answered:
        if self._proven(asked):
            return self._passed_back(asked, self._send(asked, None, again=again))
        lease = self._supply.lease()
        response = self._send(asked, lease.credential, again=again)
        renewed = response.status == self.rejects and self._supply.renew(lease, dead=self._expired(response))
        if renewed and again:
            response.close()
            lease = self._supply.lease()
            response = self._send(asked, lease.credential, again=again)
            if response.status == self.rejects:
                self._supply.minted_in_vain(lease)
        if response.status != self.rejects:
            self._supply.worked(lease)
        return self._passed_back(asked, response)

    def _prepare(self, asked: Asked) -> bool:
        """Say whether the request can be sent twice: a body is held for that if it is small."""
        length = next((value for name, value in asked.headers if name.lower() == "content-length"), "")
        if length.isdigit() and int(length) <= IN_MEMORY:
            asked.body.hold()
            return True
        return not asked.body.expected

    def _proven(self, asked: Asked) -> bool:
        """Say whether a request brings a proof of its own, which wins."""
        return False

    def _send(self, asked: Asked, credential: Credential | None, *, again: bool) -> BaseHTTPResponse:
        """Send a request; once more where the API hung up, if it can be sent twice and that makes no difference."""
        try:
            return self._sent(asked, credential)
        except Unanswered as error:
            if not (error.hung_up and again and asked.method in IDEMPOTENT):
                raise
        return self._sent(asked, credential)

    def _sent(self, asked: Asked, credential: Credential | None) -> BaseHTTPResponse:
        url, headers = self._authorized(asked, credential)
        body = asked.body.pieces() if asked.body.expected else None
        return send(self._pool, asked.method, url, headers, body)

    def _authorized(self, asked: Asked, credential: Credential | None) -> tuple[str, list[tuple[str, str]]]:
        """
        Give the URL and headers to send.

        :param credential: None where the request is proven
        """
        raise NotImplementedError

    def _expired(self, response: BaseHTTPResponse) -> bool:
        """Say whether the API told that the credential is dead."""
        return False

    def _passed_back(self, asked: Asked, response: BaseHTTPResponse) -> Answered:
        headers = [
            (name, self._here(asked, value) if name.lower() == "location" else value)
            for name, value in end_to_end(list(response.headers.iteritems()))
        ]
        return Answered(response.status, headers, Content(response))

    def _here(self, asked: Asked, location: str) -> str:
        """Lead a redirect within the API back through this face, and any other there where the API leads."""
        try:
            there = urljoin(f"{self._origin}{self._base}{asked.target}", location)
            to = urlsplit(there)
            within = _address(to, self._scheme) == self._address
        except ValueError:
            return location
        if not within or not f"{to.path}/".startswith(f"{self._base}/"):
            return there
        path = to.path.removeprefix(self._base) or "/"
        return urlunsplit(to._replace(scheme="", netloc="", path=f"/.{path}" if path.startswith("//") else path))


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

    def _proven(self, asked: Asked) -> bool:
        return any(name.lower() == self._header.lower() for name, _ in asked.headers)

    def _authorized(self, asked: Asked, credential: Credential | None) -> tuple[str, list[tuple[str, str]]]:
        proof = [self._proof(credential)] if credential else []
        return f"{self._origin}{self._base}{asked.target}", [*asked.headers, *proof]

    def _expired(self, response: BaseHTTPResponse) -> bool:
        return "invalid_token" in response.headers.get("www-authenticate", "")

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

    def _authorized(self, asked: Asked, credential: Credential | None) -> tuple[str, list[tuple[str, str]]]:
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


def _address(url: SplitResult, scheme: str) -> tuple[str, str | None, int]:
    scheme = url.scheme or scheme
    return scheme, url.hostname, url.port or (443 if scheme == "https" else 80)


def _not_granted(error: EphemeralSecretsError) -> Answered:
    status = 403 if isinstance(error, AccessDenied) else 502
    answered = refusal(status, str(error))
    if isinstance(error, MintError) and error.retry_after:
        return answered._replace(headers=[*answered.headers, ("Retry-After", str(int(error.retry_after)))])
    return answered
