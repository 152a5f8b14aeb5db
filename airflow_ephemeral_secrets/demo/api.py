"""A small HTTP API that answers only those who bring the right Bearer token."""

from __future__ import annotations

import hmac
import json
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

POLL_SECONDS = 0.05

ORDERS = (
    {"id": 1001, "customer": "acme", "status": "open", "total": 129.5},
    {"id": 1002, "customer": "globex", "status": "shipped", "total": 48.0},
    {"id": 1003, "customer": "initech", "status": "open", "total": 310.25},
)


class OrdersApi:
    """
    Serve ``GET /orders`` on a free loopback port while the block lasts.

    :param token: the only Bearer token it accepts
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._answers: Counter[HTTPStatus] = Counter()
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> OrdersApi:
        Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name="orders-api", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def granted(self) -> int:
        """Calls that were answered with orders."""
        return self._answers[HTTPStatus.OK]

    @property
    def refused(self) -> int:
        """Calls that did not bring the token."""
        return self._answers[HTTPStatus.UNAUTHORIZED]

    def answer(self, target: str, authorization: str) -> tuple[HTTPStatus, Any]:
        """Decide on one request and count it."""
        status, body = self._decide(target, authorization)
        with self._lock:
            self._answers[status] += 1
        return status, body

    def _decide(self, target: str, authorization: str) -> tuple[HTTPStatus, Any]:
        if not hmac.compare_digest(authorization.encode("latin-1", "replace"), self._expected):
            return HTTPStatus.UNAUTHORIZED, {"error": "a valid bearer token is required"}
        url = urlsplit(target)
        if url.path != "/orders":
            return HTTPStatus.NOT_FOUND, {"error": "there is only /orders"}
        wanted = parse_qs(url.query).get("status")
        return HTTPStatus.OK, [order for order in ORDERS if not wanted or order["status"] in wanted]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, answer = api.answer(self.path, self.headers.get("Authorization", ""))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep the terminal for the story."""

        return Handler
