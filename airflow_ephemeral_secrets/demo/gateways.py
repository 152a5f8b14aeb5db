"""
Four gateways on loopback that enforce what the real ones enforce, and answer as they do.

Each checks who calls, counts calls, and keeps an access log. Three of them issue the tokens that they check.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import secrets
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_ephemeral_secrets.demo.api import ORDERS, POLL_SECONDS
from airflow_ephemeral_secrets.demo.limits import Bucket, Window
from airflow_ephemeral_secrets.demo.signatures import Keys, fault

TOKEN_LIFE = 900


class Asked(NamedTuple):
    """
    A request as it came in.

    :param headers: by their names in lower case
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """What goes back: JSON, always."""

    status: int
    document: Any
    headers: Mapping[str, str] = {}


class Logged(NamedTuple):
    """
    A line of the access log.

    :param moment: epoch seconds
    :param request_id: the gateway's own, or the one that the client asked for
    """

    moment: float
    method: str
    path: str
    status: int
    request_id: str
    correlation_id: str
    traceparent: str


class Gateway:
    """Serve ``GET /orders`` on a free loopback port while the block lasts, to whoever may."""

    def __init__(self) -> None:
        self.log: list[Logged] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> Any:
        name = type(self).__name__
        Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name=name, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def statuses(self) -> list[int]:
        """List what callers of the API got, in order."""
        return [line.status for line in self.log]

    def answer(self, asked: Asked) -> Reply:
        """Answer one request, and log it unless it is one for a token."""
        if asked.method == "POST" and (reply := self.token(asked)):
            return reply
        reply = self.refusal(asked) or _orders(asked)
        request_id = asked.headers.get("x-amzn-requestid") or str(uuid4())
        said = [asked.headers.get(name, "-") for name in ("x-correlation-id", "traceparent")]
        path = urlsplit(asked.target).path
        self.log.append(Logged(time.time(), asked.method, path, reply.status, request_id, *said))
        return reply._replace(headers={**reply.headers, "x-amzn-RequestId": request_id})

    def token(self, asked: Asked) -> Reply | None:
        """Issue a token, where the gateway does and is asked to."""
        return None

    def refusal(self, asked: Asked) -> Reply | None:
        """Say why a request is not let through, or nothing."""
        raise NotImplementedError


class ApiGateway(Gateway):
    """
    Amazon API Gateway: IAM signatures, and a usage plan that says 429 and not when.

    :param keys: the session credentials that are known, by access key id
    :param plan: throttles
    """

    def __init__(self, keys: Keys, plan: Bucket) -> None:
        super().__init__()
        self._keys = keys
        self._plan = plan

    def refusal(self, asked: Asked) -> Reply | None:
        if code := fault(asked.method, self.url, asked.target, asked.headers, asked.body, self._keys):
            return _amazon(403, code, "Forbidden")
        return _amazon(429, "TooManyRequestsException", "Too Many Requests") if self._plan.wait() else None


class Issuer(Gateway):
    """
    A gateway that issues the Bearer tokens that it checks, to a client with an id and a secret.

    :param client_secret: of the client ``airflow``
    """

    def __init__(self, client_secret: str) -> None:
        super().__init__()
        self._basic = "Basic " + base64.b64encode(f"airflow:{client_secret}".encode()).decode()
        self.issued: dict[str, float] = {}

    def token(self, asked: Asked) -> Reply | None:
        if not hmac.compare_digest(asked.headers.get("authorization", "").encode(), self._basic.encode()):
            return Reply(401, {"error": "invalid_client"})
        token = secrets.token_urlsafe(32)
        self.issued[token] = time.time() + TOKEN_LIFE
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE})

    def revoke(self) -> None:
        """Take back every token."""
        self.issued = dict.fromkeys(self.issued, 0.0)

    def known(self, asked: Asked) -> bool:
        """Say whether a request bears a living token."""
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        return self.issued.get(token, 0.0) > time.time()


class Apigee(Issuer):
    """
    Apigee: ``OAuthV2``, ``SpikeArrest`` and ``Quota``.

    :param spikes: arrests
    :param quota: counts
    """

    def __init__(self, client_secret: str, spikes: Bucket, quota: Window) -> None:
        super().__init__(client_secret)
        self._spikes = spikes
        self._quota = quota

    def refusal(self, asked: Asked) -> Reply | None:
        if not self.known(asked):
            return _apigee(401, "Invalid Access Token", "keymanagement.service.invalid_access_token")
        if self._spikes.wait():
            return _apigee(429, "Spike arrest violation", "policies.ratelimit.SpikeArrestViolation")
        if seconds := self._quota.wait():
            fault = _apigee(429, "Rate limit quota violation", "policies.ratelimit.QuotaViolation")
            return fault._replace(headers={"X-RateLimit-Reset": str(math.ceil(seconds))})
        return None


class ApiManagement(Issuer):
    """
    Azure API Management: a subscription key and a token, ``rate-limit`` and ``quota``.

    :param subscription_key: the one that it accepts
    """

    def __init__(self, client_secret: str, subscription_key: str, rate: Window, quota: Window) -> None:
        super().__init__(client_secret)
        self._key = subscription_key
        self._rate = rate
        self._quota = quota

    def refusal(self, asked: Asked) -> Reply | None:
        given = asked.headers.get("ocp-apim-subscription-key", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self._key.encode()):
            return _azure(401, "Access denied due to missing or invalid subscription key.")
        if not self.known(asked):
            return _azure(401, "Unauthorized. Access token is missing or invalid.")
        if seconds := math.ceil(self._rate.wait()):
            refused = _azure(429, f"Rate limit is exceeded. Try again in {seconds} seconds.")
            return refused._replace(headers={"Retry-After": str(seconds)})
        if seconds := math.ceil(self._quota.wait()):
            when = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            return _azure(403, f"Out of call volume quota. Quota will be replenished in {when}.")
        return None


class ProtectedApi(Issuer):
    """
    An API behind an identity provider such as Okta (RFC 6750): tokens, and 429 with ``Retry-After``.

    :param rate: limits
    """

    def __init__(self, client_secret: str, rate: Window | Bucket) -> None:
        super().__init__(client_secret)
        self._rate = rate

    def refusal(self, asked: Asked) -> Reply | None:
        if not self.known(asked):
            return Reply(401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if seconds := self._rate.wait():
            return Reply(429, {"errorCode": "E0000047"}, {"Retry-After": str(math.ceil(seconds))})
        return None


def _orders(asked: Asked) -> Reply:
    found = urlsplit(asked.target).path == "/orders"
    return Reply(200, ORDERS) if found else Reply(404, {"message": "there is only /orders"})


def _amazon(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"message": message}, {"x-amzn-ErrorType": code})


def _apigee(status: int, sentence: str, code: str) -> Reply:
    return Reply(status, {"fault": {"faultstring": sentence, "detail": {"errorcode": code}}})


def _azure(status: int, message: str) -> Reply:
    return Reply(status, {"statusCode": status, "message": message})


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = gateway.answer(Asked(self.command, self.path, headers, body))
            content = json.dumps(reply.document).encode()
            self.send_response(reply.status)
            given = {"Content-Type": "application/json", **reply.headers, "Content-Length": str(len(content))}
            for name, value in given.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Keep the terminal for the story."""

    return Handler
