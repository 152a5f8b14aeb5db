"""
An authorization server made of Authlib, which grants tokens for signed assertions (RFC 7523), in a thread.

.. code-block:: python

    with AuthlibServer() as authlib:  # or the fixture ``authlib``, which serves the whole session
        authlib.issuer("robot@example.com", key.public_key(), scopes=["read"])
        ...  # post what it asserts about somebody to authlib.token_url, trusting authlib.ca_file
        assert authlib.granted[token].subject == "somebody"

What is asserted must be for the token URL, or for one more of ``authlib.audiences``, as with Google's key files.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from tests.peers.tls import serving

if TYPE_CHECKING:
    from authlib.oauth2.rfc7523 import JWTBearerGrant
    from werkzeug.serving import BaseWSGIServer

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PATH = "/token"
POLL = 0.02


class Issuer(Struct, frozen=True):
    """Who may assert: to Authlib, a client."""

    name: str
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    scopes: frozenset[str]

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == GRANT

    def get_allowed_scope(self, scope: str | None) -> str | None:
        asked = frozenset(scope.split()) if scope else self.scopes
        return " ".join(sorted(asked)) if asked <= self.scopes else None


class Granted(Struct, frozen=True):
    """
    What a token stands for.

    :param subject: whom the assertion was about, None if nobody
    """

    issuer: str
    subject: str | None
    scope: str


class AuthlibServer:
    """
    Serve over https while the block lasts.

    :param authority: signs the server's certificate
    :param ttl: seconds that its tokens live
    """

    def __init__(self, authority: trustme.CA | None = None, *, ttl: int = 600) -> None:
        self.authority = authority or trustme.CA()
        self.audiences: set[str] = set()
        self.granted: dict[str, Granted] = {}
        self.forms: list[dict[str, str]] = []
        self._ttl = ttl
        self._issuers: dict[str, Issuer] = {}
        self._stack = ExitStack()

    def __enter__(self) -> AuthlibServer:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ephemeral-peer-")))
            self.ca_file = str(folder / "ca.pem")
            self.authority.cert_pem.write_to_path(self.ca_file)
            server = self._made()
            stack.callback(server.server_close)
            thread = threading.Thread(target=server.serve_forever, args=(POLL,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            self.token_url = f"https://127.0.0.1:{server.server_port}{PATH}"
            self.audiences.add(self.token_url)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def issuer(
        self, name: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, *, scopes: Iterable[str] = ()
    ) -> None:
        """Let an issuer assert, by a key, for some scopes."""
        self._issuers[name] = Issuer(name, key, frozenset(scopes))

    def _made(self) -> BaseWSGIServer:
        from authlib.integrations.flask_oauth2 import AuthorizationServer
        from flask import Flask, Response, request
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: Any) -> None:
                """Write nothing to standard error."""

        app = Flask(__name__)
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {GRANT: self._ttl}
        server = AuthorizationServer(app, query_client=self._issuers.get, save_token=self._remember)
        server.register_grant(_grant(self._issuers, self.audiences))

        @app.post(PATH)
        def token() -> Response:
            self.forms.append(request.form.to_dict())
            return server.create_token_response()

        tls = serving(self.authority)
        return make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet, ssl_context=tls)

    def _remember(self, token: dict[str, Any], request: Any) -> None:
        granted = Granted(request.client.name, request.user, token.get("scope", ""))
        self.granted[token["access_token"]] = granted


def _grant(issuers: dict[str, Issuer], audiences: set[str]) -> type[JWTBearerGrant]:
    from authlib.oauth2.rfc7523 import JWTBearerGrant
    from joserfc.jwk import Key, import_key

    class Grant(JWTBearerGrant):
        def resolve_issuer_client(self, issuer: str) -> Issuer | None:
            return issuers.get(issuer)

        def resolve_client_public_key(self, client: Issuer) -> Key:
            pem = client.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return import_key(pem, "RSA" if isinstance(client.key, rsa.RSAPublicKey) else "EC")

        def authenticate_user(self, subject: str) -> str:
            return subject

        def has_granted_permission(self, client: Issuer, user: str) -> bool:
            return True

        def get_audiences(self) -> list[str]:
            return sorted(audiences)

    return Grant
