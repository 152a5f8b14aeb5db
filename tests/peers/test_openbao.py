"""OpenBao accepts the tokens of the issuer it was told, for the audience it was told, while they live."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.peers.client import post
from tests.peers.oidc_provider import OidcProvider
from tests.peers.openbao import OpenBao, Refused

ISSUER = "https://issuer.example.com"
API = "https://verified.example.com"
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(key: ec.EllipticCurvePrivateKey = KEY, *, ago: int = 0, **claims: Any) -> str:
    then = int(time.time()) - ago
    every = {"iss": ISSUER, "aud": API, "sub": "airflow", "iat": then, "nbf": then, "exp": then + 60, **claims}
    return jwt.encode(every, key, "ES256")


def test_accepts(openbao: OpenBao) -> None:
    """A true token is accepted, and its claims are told."""
    verifier = openbao.verifier(issuer=ISSUER, audience=API, public_key=PEM)

    assert verifier.verify(token(scope="read"))["scope"] == "read"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": f"{ISSUER}/"}, "issuer"),
        ({"aud": f"{API}/"}, "audience"),
        ({"ago": 62}, "expired"),
        ({"ago": -30}, "not yet valid|in the future"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "signature"),
    ],
    ids=["issuer", "audience", "expired", "too early", "key"],
)
def test_refuses(openbao: OpenBao, claims: dict[str, Any], reason: str) -> None:
    """A token that is wrong in one point is refused for that point."""
    verifier = openbao.verifier(issuer=ISSUER, audience=API, public_key=PEM)

    with pytest.raises(Refused, match=reason):
        verifier.verify(token(**claims))


def test_verifies_by_published_keys(openbao: OpenBao, oidc: OidcProvider) -> None:
    """What the OpenID provider grants is verified by the keys that it publishes."""
    oidc.resource(API, scopes=["read"], ttl=60)
    oidc.client("verified", client_secret="a-secret")
    verifier = openbao.verifier(issuer=oidc.https, audience=API, jwks_url=f"{oidc.http}/jwks")

    form = {"grant_type": "client_credentials", "resource": API}
    granted = post(f"{oidc.https}/token", form, auth="verified:a-secret", ca_file=oidc.ca_file).json()["access_token"]

    assert verifier.verify(granted)["client_id"] == "verified"
    with pytest.raises(Refused):
        verifier.verify(token())
