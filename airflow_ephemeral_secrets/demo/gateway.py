"""A gateway on loopback: it checks who calls, counts calls, keeps an access log, and may issue the tokens it checks."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_ephemeral_secrets.demo.api import ORDERS, POLL_SECONDS

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


def _orders(asked: Asked) -> Reply:
    found = urlsplit(asked.target).path == "/orders"
    return Reply(200, ORDERS) if found else Reply(404, {"message": "there is only /orders"})


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
