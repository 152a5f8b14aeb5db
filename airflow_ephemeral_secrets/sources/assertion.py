"""Signed assertions: JWTs (RFC 7519) that prove a client, or stand for a grant (RFC 7523)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msgspec import Struct

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.sources.token_answer import members

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

EARLIER = 5
LIVES = 60
SHORTEST_RSA = 2_048
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

_FORMS = (
    "a private key in PEM without a passphrase, or as a JWK: RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519"
)


class SigningKey(Struct, frozen=True):
    """
    A private key and what a header says of it.

    :param alg: the algorithm (RFC 7518, RFC 8037)
    :param kid: its id, if it has one
    """

    key: Any
    alg: str
    kid: str | None = None

    def __repr__(self) -> str:
        return f"SigningKey(alg={self.alg!r}, kid={self.kid!r})"


def signed(key: SigningKey, at: Instant, *, issuer: str, subject: str, audience: str) -> str:
    """
    Sign an assertion that no other equals (RFC 7523 section 3).

    :param at: the moment before the request; it is good from 5 s before to 60 s after
    :param audience: the token endpoint that it is for
    """
    import jwt

    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "jti": str(uuid4()),
        "iat": int(at.wall) - EARLIER,
        "exp": int(at.wall) + LIVES,
    }
    return jwt.encode(claims, key.key, key.alg, {"kid": key.kid} if key.kid else None)


def read_key(text: str, name: str, key_id: str | None) -> SigningKey:
    """
    Read a private key from a secret.

    :param text: PEM (RFC 7468), or a JWK (RFC 7517)
    :param name: of the secret, for messages
    :param key_id: its id, where that is not the JWK's own
    :raises SourceUnavailable: when PyJWT or cryptography is missing, or it is not a key that can sign
    """
    try:
        import cryptography  # noqa: F401  # PyJWT needs it for all that is not symmetric
        import jwt  # noqa: F401
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
    else:
        missing = ""
    if missing:
        raise SourceUnavailable(
            f"the package {'pyjwt' if missing == 'jwt' else missing} is not installed on this worker",
            code="package_missing",
            hint="pip install 'airflow-ephemeral-secrets[oauth2]'",
        )
    jwk = members(text.encode())
    key = _from_pem(text) if jwk is None else _from_jwk(jwk)
    alg = key and _algorithm(key)
    if not alg:
        raise SourceUnavailable(f"secret {name} is not a private key that can sign", code="key_unusable", hint=_FORMS)
    own = jwk.get("kid") if jwk else None
    return SigningKey(key, alg, key_id or (own if isinstance(own, str) else None))


def _from_pem(text: str) -> PrivateKeyTypes | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _from_jwk(jwk: Mapping[str, Any]) -> Any:
    import jwt

    try:
        return jwt.PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _algorithm(key: Any) -> str | None:
    """Name the algorithm that goes with a private key; None for any other key, and for RSA keys that are too short."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256" if key.key_size >= SHORTEST_RSA else None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return CURVES.get(key.curve.name)
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else None
