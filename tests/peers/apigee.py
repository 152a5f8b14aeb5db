"""
Our own stub of an Apigee proxy whose OAuthV2 policy generates access tokens; written from Apigee's documents.

They are "OAuthV2 policy", "OAuth v2.0 errors", "OAuth HTTP error response reference" and "Get OAuth 2.0 tokens". The
policy reads ``grant_type`` and ``scope`` from the body unless its author told it to read them from the query.

.. code-block:: python

    with ApigeeStub() as apigee:
        app = apigee.app("key", "secret", scopes=["read"])
        ...  # ask apigee.token_url
        app.approved = False
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from tests.peers.rogue import Peer, Request, Rogue, response

ISSUED_AT = 1_420_262_924_658
CLIENT_CREDENTIALS = "client_credentials"


@dataclass
class App:
    """A developer app: a key with its secret, and the scopes of its API products."""

    key: str
    secret: str
    scopes: list[str] = field(default_factory=list)
    approved: bool = True


class ApigeeStub(Rogue):
    """
    Serve while the block lasts.

    :param grant_type_in: where the policy reads its parameters
    :param errors: the shape of its errors: ``fault`` unless ``<GenerateErrorResponse>`` is on (``old``), and that of
        the RFC where ``<RFCCompliantRequestResponse>`` is
    :param expires_in: what the policy's ``<ExpiresIn>`` makes, in seconds; "0" for a token that never expires
    """

    def __init__(
        self,
        *,
        grant_type_in: Literal["body", "query"] = "body",
        errors: Literal["fault", "old", "rfc"] = "fault",
        expires_in: str = "1799",
    ) -> None:
        super().__init__(self._answer)
        self.apps: dict[str, App] = {}
        self.tokens: list[str] = []
        self._grant_type_in = grant_type_in
        self._errors = errors
        self._expires_in = expires_in

    def __enter__(self) -> ApigeeStub:
        super().__enter__()
        return self

    @property
    def token_url(self) -> str:
        return f"{self.url}/oauth/client_credential/accesstoken"

    def app(self, key: str, secret: str, **more: Any) -> App:
        self.apps[key] = App(key, secret, **more)
        return self.apps[key]

    def _answer(self, peer: Peer) -> None:
        request = peer.read()
        status, said = self._granted(request)
        peer.send(response(json.dumps(said).encode(), status=status, Content_Type="application/json"))

    def _granted(self, request: Request) -> tuple[int, dict[str, Any]]:
        given = dict(parse_qsl(urlsplit(request.target).query)) if self._grant_type_in == "query" else request.form
        if "grant_type" not in given:
            return self._refused(400, "oauth.v2.InvalidRequest", "invalid_request", "Required param : grant_type")
        if given["grant_type"] != CLIENT_CREDENTIALS:
            return self._refused(500, "oauth.v2.UnSupportedGrantType", "invalid_request", "Unsupported grant type")
        app = self._client(request)
        if app is None:
            return self._refused(
                401, "oauth.v2.InvalidClientIdentifier", "invalid_client", "Invalid client identifier {0}"
            )
        if not app.approved:
            return self._refused(
                401, "keymanagement.service.invalid_client-app_not_approved", "invalid_client", "ClientId is Invalid"
            )
        asked = given.get("scope", "").split()
        if asked and not set(asked) & set(app.scopes):
            return self._refused(400, "keymanagement.service.InvalidScope", "invalid_scope", "Invalid scope")
        return 200, self._token(app, [scope for scope in app.scopes if not asked or scope in asked])

    def _client(self, request: Request) -> App | None:
        scheme, _, value = (request.headers["Authorization"] or "").partition(" ")
        key, _, secret = base64.b64decode(value).decode().partition(":") if scheme == "Basic" else ("", "", "")
        app = self.apps.get(key)
        return app if app and app.secret == secret else None

    def _token(self, app: App, scopes: list[str]) -> dict[str, Any]:
        self.tokens.append(f"ylSkZIjbdWybfs4fUQe9BqP0LH5Z{len(self.tokens)}")
        return {
            "refresh_token_expires_in": "0",
            "api_product_list": "[an-api-product]",
            "api_product_list_json": ["an-api-product"],
            "organization_name": "an-org",
            "developer.email": "dev@example.com",
            "token_type": "BearerToken",
            "issued_at": str(ISSUED_AT),
            "client_id": app.key,
            "access_token": self.tokens[-1],
            "application_name": "b4b4f8a0-0000-4000-8000-000000000000",
            "scope": " ".join(scopes),
            "expires_in": self._expires_in,
            "refresh_count": "0",
            "status": "approved",
        }

    def _refused(self, status: int, code: str, word: str, said: str) -> tuple[int, dict[str, Any]]:
        shapes: dict[str, dict[str, Any]] = {
            "fault": {"fault": {"faultstring": said, "detail": {"errorcode": code}}},
            "old": {"ErrorCode": word, "Error": said},
            "rfc": {"error": word, "error_description": said},
        }
        return status, shapes[self._errors]
