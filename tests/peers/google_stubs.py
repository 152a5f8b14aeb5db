"""
Google as its documents describe it, ours: there is no emulator of these services to install.

Its token endpoint verifies assertions with PyJWT, STS verifies AWS requests by the text of Signature Version 4, and the
IAM Service Account Credentials API asks who may act as whom. All is served over https, under Google's own names, which
a proxy leads here; the metadata server over http.

.. code-block:: python

    with GoogleStub() as google:
        google.may("worker@…", "reader@…")
        ...  # ask with Network(proxy=google.proxy, ca_file=google.ca_file), GCE_METADATA_HOST=google.metadata
        assert google.requests[-1].target == "iamcredentials.googleapis.com/v1/…:generateAccessToken"
"""

from __future__ import annotations

import hmac
import json
import ssl
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
import trustme
from msgspec import Struct

from tests.peers.google_files import AWS_KEY, AWS_SESSION, POOL, TOKEN_URL, USER, WORKER, private_key
from tests.peers.rogue import Peer, Request, Rogue, Script, tunnel

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
IAM = "https://www.googleapis.com/auth/iam"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
LONG_NAMES = {name: f"https://www.googleapis.com/auth/userinfo.{name}" for name in ("email", "profile")}
HOSTS = (
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "secretmanager.googleapis.com",
)


class Asked(Struct, frozen=True):
    """One request: ``target`` is the host and the path."""

    method: str
    target: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class RefusedError(Exception):
    """What the service says instead."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body


def _rpc(code: int, status: str) -> RefusedError:
    return RefusedError(code, {"error": {"code": code, "message": "canary-of-a-message", "status": status}})


def _oauth(error: str, status: int = 400) -> RefusedError:
    return RefusedError(status, {"error": error, "error_description": "canary-of-a-description"})


class GoogleStub:
    """Serve while the block lasts."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.subjects: dict[str, str] = {}
        self.secrets: dict[str, bytes] = {}
        self.delegated: dict[str, set[str]] = {}
        self.instance_scopes = [CLOUD_PLATFORM]
        self.attached = True
        self._may: set[tuple[str, str]] = set()
        self._tokens: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> GoogleStub:
        with ExitStack() as stack:
            authority = trustme.CA()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ephemeral-peer-")))
            self.ca_file = str(folder / "ca.pem")
            authority.cert_pem.write_to_path(self.ca_file)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(*HOSTS).configure_cert(tls)
            port = self._serve(stack, tls)
            self.metadata = f"127.0.0.1:{self._serve(stack, None)}"
            self.proxy = stack.enter_context(Rogue(lead_to(port))).url
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def may(self, who: str, *accounts: str) -> None:
        """Let one identity act as a service account, that as the next, and so on."""
        self._may.update(pairwise((who, *accounts)))

    def principal(self, token: str) -> str:
        """Say for whom an access token is, and its scopes."""
        return self._tokens[token]

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    def _serve(self, stack: ExitStack, tls: ssl.SSLContext | None) -> int:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                host = "metadata" if tls is None else self.headers["Host"]
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = dict(parse_qsl(parts.query))
                asked = Asked(self.command, f"{host}{parts.path}", query, headers, body)
                stub.requests.append(asked)
                try:
                    status, answer = 200, stub._answer(asked)
                except RefusedError as refused:
                    status, answer = refused.status, refused.body
                raw = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
                self.send_header("Content-Length", str(len(raw)))
                if tls is None:
                    self.send_header("Metadata-Flavor", "Google")
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Write nothing to standard error."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        stack.callback(server.server_close)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        return server.server_port

    def _answer(self, asked: Asked) -> Any:
        host, _, path = asked.target.partition("/")
        services: dict[str, Callable[[Asked, str], Any]] = {
            "metadata": self._metadata,
            "oauth2.googleapis.com": self._token,
            "sts.googleapis.com": self._sts,
            "iamcredentials.googleapis.com": self._iam,
            "secretmanager.googleapis.com": self._secret,
        }
        return services[host](asked, path)

    def _issue(self, who: str, scopes: str) -> str:
        token = f"ya29.token-{len(self._tokens)}"
        self._tokens[token] = f"{who} {scopes}"
        return token

    def _metadata(self, asked: Asked, path: str) -> Any:
        if asked.headers.get("metadata-flavor") != "Google":
            raise RefusedError(403, "Forbidden")
        prefix = "computeMetadata/v1/instance/service-accounts/default/"
        if not path.startswith(prefix) or not self.attached:
            raise RefusedError(404, "canary-of-a-page")
        if (what := path.removeprefix(prefix)) == "":
            return {"aliases": ["default"], "email": WORKER, "scopes": self.instance_scopes}
        if what == "identity":
            return _signed(WORKER, asked.query["audience"], email=asked.query["format"] == "full")
        return {"access_token": self._issue(WORKER, asked.query["scopes"]), "expires_in": 3_001, "token_type": "Bearer"}

    def _token(self, asked: Asked, path: str) -> Any:
        form = asked.form
        if form["grant_type"] == "refresh_token":
            if {name: form.get(name) for name in USER} != USER:
                raise _oauth("invalid_grant")
            scope = " ".join(LONG_NAMES.get(scope, scope) for scope in form["scope"].split())
            token = self._issue("user", scope)
            return {"access_token": token, "expires_in": 3_599, "scope": scope, "token_type": "Bearer"}
        if form["grant_type"] != JWT_BEARER:
            raise _oauth("unsupported_grant_type")
        claims = self._assertion(form["assertion"])
        issuer, subject = claims["iss"], claims.get("sub")
        if "target_audience" in claims:
            return {"id_token": _signed(issuer, claims["target_audience"])}
        if not claims.get("scope"):
            raise _oauth("invalid_scope")
        if subject and not set(claims["scope"].split()) <= self.delegated.get(issuer, set()):
            raise _oauth("unauthorized_client", 401)
        token = self._issue(subject or issuer, claims["scope"])
        return {"access_token": token, "expires_in": 3_599, "token_type": "Bearer"}

    def _assertion(self, assertion: str) -> dict[str, Any]:
        """Verify as https://developers.google.com/identity/protocols/oauth2/service-account says."""
        issuer = jwt.decode(assertion, options={"verify_signature": False})["iss"]
        required = {"require": ["iss", "aud", "iat", "exp"]}
        try:
            key = private_key(issuer).public_key()
            claims = jwt.decode(assertion, key, algorithms=["RS256"], audience=TOKEN_URL, options=required)
        except jwt.InvalidTokenError as error:
            raise _oauth("invalid_grant") from error
        if claims["exp"] - claims["iat"] > 3_600:
            raise _oauth("invalid_grant")
        return dict(claims)

    def _sts(self, asked: Asked, path: str) -> Any:
        form = asked.form
        if (form["grant_type"], form["audience"]) != (EXCHANGE, POOL):
            raise _oauth("invalid_target")
        if form["subject_token_type"].endswith("aws4_request"):
            who = _aws_caller(form["subject_token"])
        else:
            who = self.subjects.get(form["subject_token"])
        if who is None:
            raise _oauth("invalid_grant")
        kind = form["requested_token_type"]
        token = self._issue(who, form["scope"])
        return {"access_token": token, "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3_599}

    def _iam(self, asked: Asked, path: str) -> Any:
        account, _, method = path.removeprefix("v1/projects/-/serviceAccounts/").partition(":")
        who, _, scopes = self._tokens.get(asked.headers["authorization"].removeprefix("Bearer "), "").partition(" ")
        if not who:
            raise _rpc(401, "UNAUTHENTICATED")
        request = asked.json
        chain = [who, *(one.removeprefix("projects/-/serviceAccounts/") for one in request["delegates"]), account]
        if not {CLOUD_PLATFORM, IAM} & set(scopes.split()) or not set(pairwise(chain)) <= self._may:
            raise _rpc(403, "PERMISSION_DENIED")
        if method == "signJwt":
            return {
                "keyId": "k",
                "signedJwt": jwt.encode(json.loads(request["payload"]), private_key(account), "RS256"),
            }
        if method == "generateIdToken":
            return {"token": _signed(account, request["audience"], email=request["includeEmail"])}
        seconds = int(request["lifetime"].removesuffix("s"))
        if seconds > 3_600:
            raise _rpc(400, "INVALID_ARGUMENT")
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        return {"accessToken": self._issue(account, " ".join(request["scope"])), "expireTime": expiry}

    def _secret(self, asked: Asked, path: str) -> Any:
        if asked.headers["authorization"].removeprefix("Bearer ") not in self._tokens:
            raise _rpc(401, "UNAUTHENTICATED")
        name = path.removeprefix("v1/").removesuffix(":access")
        if name not in self.secrets:
            raise _rpc(404, "NOT_FOUND")
        return {"name": name, "payload": {"data": b64encode(self.secrets[name]).decode(), "dataCrc32c": "1"}}


def _signed(account: str, audience: str, *, email: bool = True) -> str:
    now = int(time.time())
    claims = {"iss": "https://accounts.google.com", "sub": "1234", "azp": account, "aud": audience, "iat": now}
    return jwt.encode({**claims, "exp": now + 3_600, **({"email": account} if email else {})}, private_key(""), "RS256")


class _Led(Peer):
    """A client of a proxy that leads all of Google's names to one port, and nowhere else."""

    port = 0

    def read(self) -> Request:
        request = super().read()
        if request.target.removesuffix(":443") not in HOSTS:
            raise ValueError(request.target)
        return replace(request, target=f"127.0.0.1:{self.port}")


def lead_to(port: int) -> Script:
    """Be a proxy that leads to a port, and serves clients of Google only."""

    def script(peer: Peer) -> None:
        peer.__class__ = _Led
        vars(peer)["port"] = port
        tunnel(peer)

    return script


def _aws_caller(subject_token: str) -> str | None:
    """Name who signed a request for AWS (https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds)."""
    request = json.loads(unquote(subject_token))
    headers = {one["key"].lower(): one["value"] for one in request["headers"]}
    parts = urlsplit(request["url"])
    fields = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(", "))
    key_id, day, region, service, end = fields["Credential"].split("/")
    names = fields["SignedHeaders"].split(";")
    signed = "".join(f"{name}:{headers[name]}\n" for name in names)
    empty = sha256(b"").hexdigest()
    canonical = "\n".join([request["method"], parts.path or "/", parts.query, signed, ";".join(names), empty])
    scope = f"{day}/{region}/{service}/{end}"
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{AWS_KEY[1]}".encode()
    for part in (day, region, service, end, text):
        key = hmac.new(key, part.encode(), sha256).digest()
    known = key_id == AWS_KEY[0] and headers.get("x-amz-security-token") == AWS_SESSION
    right = parts.netloc == f"sts.{region}.amazonaws.com" and headers["x-goog-cloud-target-resource"] == POOL
    return "aws" if known and right and hmac.compare_digest(key.hex(), fields["Signature"]) else None
