"""Gateways that check what they are sent: a token that may be revoked, or a signature by AWS's own text."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple

from airflow_ephemeral_secrets.credential import AwsCredential
from tests.live.sigv4 import signature


class Seen(NamedTuple):
    """A request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


class Gateway:
    """
    Serve on a free loopback port while the block lasts; every request that is let in is told back as JSON.

    :param judge: says why a request is refused, or nothing
    """

    def __init__(self, judge: Callable[[Seen], Answer | None]) -> None:
        self.granted: list[Seen] = []
        self.refused: list[Seen] = []
        self._judge = judge
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Gateway:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def answer(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                headers = {name.lower(): ",".join(self.headers.get_all(name, ())) for name in self.headers}
                target = self.requestline.split()[1]  # self.path has lost a slash where there are two
                seen = Seen(self.command, target, headers, body)
                refusal = gateway._judge(seen)
                (gateway.refused if refusal and refusal[0] >= 400 else gateway.granted).append(seen)
                told = json.dumps({"path": seen.target, "size": len(body)}).encode()
                status, extra, content = refusal or (200, {"X-Kept": "yes", "Keep-Alive": "timeout=9"}, told)
                self.send_response(status)
                for name, value in {**extra, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Tokens:
    """
    Judge by a Bearer token.

    :param valid: says which are
    """

    def __init__(self, valid: Callable[[str], bool]) -> None:
        self.valid = valid
        self.revoked: set[str] = set()
        self.says = {"Retry-After": "7"}

    def __call__(self, seen: Seen) -> Answer | None:
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        return None if self.valid(token) and token not in self.revoked else (401, self.says, b"{}")


class Signatures:
    """
    Judge by an AWS Signature Version 4 in the header, computed from AWS's text with nothing of botocore.

    :param keys: those that are known, by access key id
    :param scope: ``region/service``
    """

    def __init__(self, keys: dict[str, AwsCredential], scope: str) -> None:
        self.keys = keys
        self.expired: set[str] = set()
        self._scope = scope

    def __call__(self, seen: Seen) -> Answer | None:
        words = seen.headers.get("authorization", "").removeprefix("AWS4-HMAC-SHA256 ").split(", ")
        said = dict(word.partition("=")[::2] for word in words)
        if not said.get("Signature"):
            return _forbidden("MissingAuthenticationToken")
        key_id, day, *scope, end = said["Credential"].split("/")
        if key_id in self.expired or key_id not in self.keys:
            return _forbidden("ExpiredTokenException")
        key = self.keys[key_id]
        right = self._signature(seen, key, day, said["SignedHeaders"].split(";"))
        genuine = ("/".join(scope), end, seen.headers.get("x-amz-security-token")) == (
            self._scope,
            "aws4_request",
            key.session_token,
        )
        whole = _hash(seen) == sha256(seen.body).hexdigest()
        same = hmac.compare_digest(right, said["Signature"])
        return None if genuine and whole and same else _forbidden("InvalidSignatureException")

    def _signature(self, seen: Seen, key: AwsCredential, day: str, names: list[str]) -> str:
        return signature(
            seen.method,
            seen.target,
            seen.headers,
            names,
            _hash(seen),
            key=key.secret_access_key,
            scope=f"{day}/{self._scope}/aws4_request",
            normalize=not self._scope.endswith("/s3"),
        )


def _hash(seen: Seen) -> str:
    """Take the hash that a request names, or make it, as services do that do not demand that header."""
    return seen.headers.get("x-amz-content-sha256") or sha256(seen.body).hexdigest()


def _forbidden(code: str) -> Answer:
    return 403, {"x-amzn-ErrorType": code}, b'{"message":"Forbidden"}'
