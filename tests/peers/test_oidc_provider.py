"""The certified provider is strict: what it grants was proven, and what it refuses was wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from urllib3 import BaseHTTPResponse

from tests.peers.client import post
from tests.peers.oidc_provider import OidcProvider, basic, public_jwks

API = "https://api.example.com"
SECRET = "s:e@c+r%t"
ASSERTED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
TENANT = "b7e1c0de-0000-4000-8000-00000000abcd"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


@pytest.fixture
def client_id() -> str:
    return f"a:client@+%{uuid4()}"


@pytest.fixture
def api(oidc: OidcProvider) -> str:
    oidc.resource(API, scopes=["read", "write"], ttl=7)
    return API


def ask(oidc: OidcProvider, form: dict[str, str], path: str = "/token", **given: Any) -> BaseHTTPResponse:
    return post(oidc.https + path, {"grant_type": "client_credentials", **form}, ca_file=oidc.ca_file, **given)


def assertion(key: rsa.RSAPrivateKey, issuer: str, audience: str, subject: str | None = None) -> str:
    claims = {"iss": issuer, "sub": subject or issuer, "aud": audience, "jti": str(uuid4()), "exp": time.time() + 60}
    return jwt.encode(claims, key, "RS256")


def test_grants_what_was_asked(oidc: OidcProvider, client_id: str, api: str) -> None:
    """A client that proves itself gets a JWT for the resource, with the scopes that this has, for as long as told."""
    oidc.client(client_id, client_secret=SECRET)

    answer = ask(oidc, {"resource": api, "scope": "read unknown"}, auth=basic(client_id, SECRET)).json()

    claims = oidc.verified(answer["access_token"], api)
    assert (claims["client_id"], claims["scope"], claims["exp"] - claims["iat"]) == (client_id, "read", 7)
    assert (answer["scope"], answer["expires_in"]) == ("read", 7)


def test_opaque_tokens_can_be_introspected(oidc: OidcProvider, client_id: str) -> None:
    """A token for no resource is opaque; the provider tells its client what it is."""
    oidc.client(client_id, client_secret=SECRET)

    token = ask(oidc, {}, auth=basic(client_id, SECRET)).json()["access_token"]

    assert oidc.introspected(token, client_id, SECRET)["active"]
    assert not oidc.introspected(f"{token}x", client_id, SECRET)["active"]


@pytest.mark.parametrize(
    ("login", "form", "error"),
    [
        ("{basic}x", {}, "invalid_client"),
        ("{raw}", {}, "invalid_request"),
        ("{basic}", {"resource": "https://elsewhere.example.com"}, "invalid_target"),
        ("{basic}", {"grant_type": "password"}, "unsupported_grant_type"),
        (None, {}, "invalid_client"),
    ],
    ids=["wrong secret", "not encoded", "unknown resource", "unknown grant", "no proof"],
)
def test_refuses(oidc: OidcProvider, client_id: str, login: str | None, form: dict[str, str], error: str) -> None:
    """What is wrong is refused by its OAuth error, and the journal says so."""
    oidc.client(client_id, client_secret=SECRET)
    auth = login and login.format(basic=basic(client_id, SECRET), raw=f"{client_id}:{SECRET}")

    answer = ask(oidc, {**form, **({} if auth else {"client_id": client_id})}, auth=auth)

    assert answer.json()["error"] == error
    assert (oidc.requests[-1].status, oidc.requests[-1].error) == (answer.status, error)


def test_assertions_are_for_once(oidc: OidcProvider, client_id: str, key: rsa.RSAPrivateKey) -> None:
    """A signed assertion proves a client once; replayed, for another audience or by another key it proves nothing."""
    oidc.client(client_id, jwks=public_jwks(key))
    other = rsa.generate_private_key(65_537, 2_048)
    once = assertion(key, client_id, f"{oidc.https}/token")
    tries = [once, once, assertion(key, client_id, API), assertion(other, client_id, oidc.https)]

    answers = [ask(oidc, {"client_assertion_type": ASSERTED, "client_assertion": one}).status for one in tries]

    assert answers == [200, 401, 401, 401]


def test_assertions_may_be_signed_by_an_elliptic_curve(oidc: OidcProvider, client_id: str) -> None:
    """A client's key may be EC."""
    key = ec.generate_private_key(ec.SECP256R1())
    oidc.client(client_id, jwks=public_jwks(key))
    claims = {"iss": client_id, "sub": client_id, "aud": oidc.https, "jti": "1", "exp": time.time() + 60}

    form = {"client_assertion_type": ASSERTED, "client_assertion": jwt.encode(claims, key, "ES256")}

    assert ask(oidc, form).status == 200


@pytest.mark.parametrize(
    ("trusted", "name", "status"),
    [(True, "airflow.example.com", 200), (True, "else.example.com", 401), (False, "airflow.example.com", 401)],
    ids=["right", "another name", "another authority"],
)
def test_certificates(
    oidc: OidcProvider, client_id: str, api: str, tmp_path: Path, *, trusted: bool, name: str, status: int
) -> None:
    """A client proves itself by a certificate of a trusted authority with its name; the token is bound to it."""
    oidc.client(
        client_id, tls_client_auth_san_dns="airflow.example.com", tls_client_certificate_bound_access_tokens=True
    )
    authority = oidc.authority if trusted else trustme.CA()
    pem = str(tmp_path / "client.pem")
    authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(pem)

    answer = ask(oidc, {"client_id": client_id, "resource": api}, cert_file=pem)

    assert answer.status == status
    if status == 200:
        assert "x5t#S256" in oidc.verified(answer.json()["access_token"], api)["cnf"]


def test_exchanges_tokens_of_whom_it_trusts(
    oidc: OidcProvider, client_id: str, api: str, key: rsa.RSAPrivateKey
) -> None:
    """A subject token whose issuer is trusted becomes a token for that subject, which names the client as its actor."""
    issuer = f"https://{uuid4()}.example.com"
    oidc.client(client_id, client_secret=SECRET)
    oidc.trust(issuer, public_jwks(key), audience=oidc.https)
    subject = assertion(key, issuer, oidc.https, "somebody")

    form = {"grant_type": EXCHANGE, "subject_token_type": JWT, "subject_token": subject, "audience": api}
    answer = ask(oidc, form, auth=basic(client_id, SECRET)).json()

    claims = oidc.verified(answer["access_token"], api)
    assert (claims["sub"], claims["act"]) == ("somebody", {"sub": client_id})
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


@pytest.mark.parametrize("wrong", ["key", "audience", "issuer", "type"])
def test_exchanges_nothing_else(
    oidc: OidcProvider, client_id: str, api: str, key: rsa.RSAPrivateKey, wrong: str
) -> None:
    """A subject token of anybody else, for anyone else, or of an unknown type is refused."""
    issuer = f"https://{uuid4()}.example.com"
    oidc.client(client_id, client_secret=SECRET)
    oidc.trust(issuer, public_jwks(key), audience=oidc.https)
    subject = assertion(
        rsa.generate_private_key(65_537, 2_048) if wrong == "key" else key,
        f"{issuer}x" if wrong == "issuer" else issuer,
        api if wrong == "audience" else oidc.https,
        "somebody",
    )

    form = {"subject_token_type": JWT if wrong != "type" else "urn:unknown", "subject_token": subject, "audience": api}
    answer = ask(oidc, {"grant_type": EXCHANGE, **form}, auth=basic(client_id, SECRET))

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_is_entra_to_azure_identity(oidc: OidcProvider, key: rsa.RSAPrivateKey) -> None:
    """The stock credentials of azure-identity get a token for the resource that their default scope names."""
    from azure.identity import ClientAssertionCredential, ClientSecretCredential

    client_id, resource = str(uuid4()), f"api://{uuid4()}"
    oidc.client(client_id, client_secret=SECRET)
    oidc.client(f"{client_id}-signing", jwks=public_jwks(key))
    oidc.resource(resource, scopes=[f"{resource}/.default"])
    given: dict[str, Any] = {
        "authority": oidc.https,
        "disable_instance_discovery": True,
        "connection_verify": oidc.ca_file,
    }

    def signed() -> str:
        return assertion(key, f"{client_id}-signing", f"{oidc.https}/{TENANT}/oauth2/v2.0/token")

    with (
        ClientSecretCredential(TENANT, client_id, SECRET, **given) as by_secret,
        ClientAssertionCredential(TENANT, f"{client_id}-signing", signed, **given) as by_assertion,
    ):
        tokens = [credential.get_token(f"{resource}/.default").token for credential in (by_secret, by_assertion)]

    clients = [oidc.verified(token, resource)["client_id"] for token in tokens]
    assert clients == [client_id, f"{client_id}-signing"]
    assert oidc.requests[-1].path == f"/{TENANT}/oauth2/v2.0/token"
