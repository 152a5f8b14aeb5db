"""
oidc-provider, a certified OpenID provider, in a process of its own: over http, over https, and as Entra.

.. code-block:: python

    with OidcProvider() as oidc:  # or the fixture ``oidc``, which serves the whole session
        oidc.client("an:id", client_secret="a+secret")
        oidc.resource("https://api.example.com", scopes=["read"], ttl=60)
        ...  # ask oidc.https for a token, trusting oidc.ca_file
        assert oidc.verified(token, "https://api.example.com")["scope"] == "read"
        assert oidc.requests[-1].form["grant_type"] == "client_credentials"

To azure-identity ``oidc.https`` is an authority that has every tenant: a scope ``api://x/.default`` is for ``api://x``.
A federated token is a client assertion to it: issuer and subject are the client, the audience is the provider.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote_plus

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct, convert

from tests.peers.client import ask, post
from tests.peers.installed import PEERS, node, npm
from tests.peers.process import Process

PROGRAM = Path(__file__).with_suffix(".mjs")
READY = r"serving (http://\S+) (https://\S+)\n"
GRANTS = ("client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange")


class TokenRequest(Struct, frozen=True):
    """
    One request to the token endpoint, and what became of it.

    :param client: who asked, if there is such a client
    :param error: the OAuth error of the answer
    """

    path: str
    headers: dict[str, str]
    form: dict[str, Any]
    status: int
    client: str | None = None
    error: str | None = None


class OidcProvider:
    """
    Serve while the block lasts.

    :param authority: signs the server's certificate, and those by which clients prove themselves
    """

    def __init__(self, authority: trustme.CA | None = None) -> None:
        self.authority = authority or trustme.CA()
        self._stack = ExitStack()

    def __enter__(self) -> OidcProvider:
        npm("oidc-provider")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-ephemeral-peer-")))
            self.ca_file = str(folder / "ca.pem")
            self.authority.cert_pem.write_to_path(self.ca_file)
            pem = str(folder / "server.pem")
            self.authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(pem)
            command = [node(), str(PROGRAM), str(PEERS / "package.json"), pem, self.ca_file]
            self.process = stack.enter_context(Process(command, ready=READY))
            self.http, self.https = self.process.said.groups()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def client(self, client_id: str, **metadata: Any) -> None:
        """
        Register a client.

        :param metadata: as in RFC 7591 and RFC 8705: ``client_secret`` (for basic and post), ``jwks`` (see
            :func:`public_jwks`) or ``tls_client_auth_san_dns``; the method is taken from it unless given
        """
        methods = {
            "client_secret": "client_secret_basic",
            "jwks": "private_key_jwt",
            "tls_client_auth_san_dns": "tls_client_auth",
        }
        method = next((method for name, method in methods.items() if name in metadata), "none")
        about = {"grant_types": GRANTS, "response_types": (), "redirect_uris": (), "token_endpoint_auth_method": method}
        self._tell("clients", client_id, {"client_id": client_id, **about, **metadata})

    def resource(
        self,
        indicator: str,
        *,
        scopes: Sequence[str],
        audience: str | None = None,
        ttl: int = 600,
        alg: str = "RS256",
        form: str = "jwt",
    ) -> None:
        """
        Register what tokens can be asked for: by ``resource``, by ``audience`` (exchange only) or by its default scope.

        :param indicator: an absolute URI
        :param audience: what the token says, where that is not the indicator
        :param ttl: seconds that its tokens live
        :param alg: RS256 or ES256
        :param form: jwt or opaque
        """
        about = {"scope": " ".join(scopes), "audience": audience or indicator, "accessTokenTTL": ttl}
        self._tell("resources", indicator, {**about, "accessTokenFormat": form, "jwt": {"sign": {"alg": alg}}})

    def trust(self, issuer: str, jwks: Mapping[str, Any], *, audience: str | None = None) -> None:
        """
        Accept an issuer's tokens as subject tokens, besides those of its own; the subject becomes the new token's.

        :param audience: what they must be for, None for anything
        """
        self._tell("issuers", issuer, {"jwks": jwks, **({"audience": audience} if audience else {})})

    @property
    def requests(self) -> list[TokenRequest]:
        """The requests to its token endpoint so far."""
        return convert(ask("GET", f"{self.http}/peer/requests").json(), list[TokenRequest])

    def requests_of(self, client_id: str) -> list[TokenRequest]:
        """Those of one client."""
        return [request for request in self.requests if request.client == client_id]

    def jwks(self) -> dict[str, Any]:
        """Its public keys."""
        return convert(ask("GET", f"{self.http}/jwks").json(), dict[str, Any])

    def verified(self, token: str, audience: str, *, issuer: str | None = None) -> dict[str, Any]:
        """
        Verify a JWT that it signed, by its published keys.

        :param issuer: ``http`` or ``https`` of this object, the latter by default
        """
        key = jwt.PyJWKSet.from_dict(self.jwks())[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, key, audience=audience, issuer=issuer or self.https)

    def introspected(self, token: str, client_id: str, client_secret: str) -> dict[str, Any]:
        """Ask about an opaque token, as the client that it was issued to (RFC 7662)."""
        answer = post(f"{self.http}/token/introspection", {"token": token}, auth=basic(client_id, client_secret))
        return convert(answer.json(), dict[str, Any])

    def _tell(self, what: str, name: str, value: Mapping[str, Any]) -> None:
        assert ask("PUT", f"{self.http}/peer/{what}", json=[name, value]).status == 200


def basic(client_id: str, client_secret: str) -> str:
    """Write a client's credentials as RFC 6749, section 2.3.1, has them in Basic."""
    return f"{quote_plus(client_id)}:{quote_plus(client_secret)}"


def public_jwks(*keys: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """Write the public halves of keys as a JWK set."""
    return {"keys": [_algorithm(key).to_jwk(key.public_key(), as_dict=True) for key in keys]}


def _algorithm(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Any:
    return jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
