"""A token service that refuses, hangs or talks nonsense, by the path it is asked at."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

CANARY = "canary-of-a-response-body"
STS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
TOKEN = "canary-token-of-the-token-endpoint"


class Answer(NamedTuple):
    """What is said at a path."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


def sts_error(code: str) -> str:
    return (
        f"<ErrorResponse {STS}><Error><Type>Sender</Type><Code>{code}</Code><Message>{CANARY}</Message></Error>"
        "<RequestId>request-1234</RequestId></ErrorResponse>"
    )


def oauth_error(code: str) -> str:
    return json.dumps({"error": code, "error_description": CANARY})


def oauth_token(**members: object) -> str:
    return json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, **members})


def sts_grant() -> str:
    ends = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat(timespec="seconds")
    return f"""<AssumeRoleResponse {STS}><AssumeRoleResult><AssumedRoleUser>
<AssumedRoleId>AROAEXAMPLE:granted</AssumedRoleId><Arn>arn:aws:sts::111122223333:assumed-role/lake-reader/granted</Arn>
</AssumedRoleUser><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>
<SecretAccessKey>{TOKEN}-secret</SecretAccessKey><SessionToken>{TOKEN}-session</SessionToken>
<Expiration>{ends}</Expiration></Credentials></AssumeRoleResult>
<ResponseMetadata><RequestId>request-1234</RequestId></ResponseMetadata></AssumeRoleResponse>"""


ANSWERS = {
    "/refused": Answer(403, sts_error("AccessDenied")),
    "/garbage": Answer(200, f"<html>{CANARY}</html>"),
    "/expired": Answer(400, sts_error("ExpiredTokenException")),
    "/moved": Answer(302, CANARY, {"Location": "https://elsewhere.example.com/"}),
    "/unavailable": Answer(503, sts_error("ServiceUnavailable")),
    "/oauth/invalid_client": Answer(401, oauth_error("invalid_client")),
    "/oauth/invalid_scope": Answer(400, oauth_error("invalid_scope")),
    "/oauth/narrow": Answer(200, oauth_token(scope="orders.read")),
    "/oauth/dead": Answer(200, oauth_token(expires_in=0)),
    "/oauth/granted": Answer(200, oauth_token(expires_in=3600)),
}


@contextmanager
def bad_sts() -> Iterator[str]:
    """Serve for the length of a block, at a base URL plus ``/timed_out``, ``/granted`` or a path of ``ANSWERS``."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            path = self.path.rstrip("/")
            if path == "/timed_out":
                released.wait(60)
                return
            status, body, headers = Answer(200, sts_grant()) if path == "/granted" else ANSWERS[path]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body.encode())), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
