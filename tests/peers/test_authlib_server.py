"""The Authlib server grants tokens for true assertions only."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.peers.authlib_server import GRANT, AuthlibServer, Granted
from tests.peers.client import post

ROBOT = "robot@example.com"
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def robot(authlib: AuthlibServer) -> str:
    authlib.issuer(ROBOT, KEY.public_key(), scopes=["read", "write"])
    return ROBOT


def claim(authlib: AuthlibServer, **claims: Any) -> dict[str, Any]:
    now = int(time.time())
    every = {"iss": ROBOT, "aud": authlib.token_url, "iat": now, "exp": now + 60, "sub": "somebody", **claims}
    return {name: value for name, value in every.items() if value is not None}


def ask(authlib: AuthlibServer, assertion: str, **form: str) -> dict[str, Any]:
    fields = {"grant_type": GRANT, "assertion": assertion, **form}
    return dict(post(authlib.token_url, fields, ca_file=authlib.ca_file).json())


@pytest.mark.parametrize(("scope", "granted"), [("read", "read"), ("", "read write")])
def test_grants(authlib: AuthlibServer, robot: str, scope: str, granted: str) -> None:
    """What an issuer truly asserts becomes a token for the subject, with the scopes asked for or all that it has."""
    answer = ask(authlib, jwt.encode(claim(authlib), KEY, "ES256"), scope=scope)

    assert authlib.granted[answer["access_token"]] == Granted(robot, "somebody", granted)
    assert (answer["expires_in"], answer["token_type"], authlib.forms[-1]["scope"]) == (600, "Bearer", scope)


def test_takes_keys_of_rsa(authlib: AuthlibServer) -> None:
    """An issuer's key may be RSA, and its audience another that the server was told."""
    key = rsa.generate_private_key(65_537, 2_048)
    authlib.issuer("google@example.com", key.public_key())
    authlib.audiences.add("https://oauth2.example.com/token")

    claims = claim(authlib, iss="google@example.com", aud="https://oauth2.example.com/token", sub=None)

    assert "access_token" in ask(authlib, jwt.encode(claims, key, "RS256"))


@pytest.mark.parametrize(
    "claims",
    [{"iss": "stranger@example.com"}, {"aud": "https://example.com/token"}, {"exp": 1}, {"exp": None}, {"aud": None}],
    ids=["unknown issuer", "another audience", "expired", "no expiry", "no audience"],
)
def test_refuses_false_claims(authlib: AuthlibServer, robot: str, claims: dict[str, Any]) -> None:
    """What is asserted by a stranger, for somebody else, too late or forever is refused."""
    assert ask(authlib, jwt.encode(claim(authlib, **claims), KEY, "ES256"))["error"] == "invalid_grant"


def test_refuses_another_key(authlib: AuthlibServer, robot: str) -> None:
    """What another key signed is refused."""
    other = ec.generate_private_key(ec.SECP256R1())

    assert ask(authlib, jwt.encode(claim(authlib), other, "ES256"))["error"] == "invalid_grant"


def test_refuses_scopes_that_an_issuer_has_not(authlib: AuthlibServer, robot: str) -> None:
    """More than an issuer may is refused, not narrowed."""
    assert ask(authlib, jwt.encode(claim(authlib), KEY, "ES256"), scope="read own")["error"] == "invalid_scope"
