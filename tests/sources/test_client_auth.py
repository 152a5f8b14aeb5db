"""How a client proves itself: every way is granted by a certified provider, and every wrong proof refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.client_auth import basic, prove
from airflow_ephemeral_secrets.testing import FakeSource
from tests.peers.oidc_provider import OidcProvider, public_jwks
from tests.peers.rogue import Rogue, reply
from tests.sources.asking import ask, failure, given, story
from tests.sources.oauth import AWKWARD, EC, RSA, asks, body, named, pem, reader

API = "https://proven.example.com"
NAME = "airflow.example.com"
PLAIN = "a-secret-without-surprises-0123456789"

Mint = Callable[..., BearerToken]


@pytest.fixture
def api(oidc: OidcProvider) -> str:
    oidc.resource(API, scopes=["read"])
    return API


def certificate(authority: trustme.CA, name: str = NAME) -> str:
    return authority.issue_cert(name).private_key_and_cert_chain_pem.bytes().decode()


def register(oidc: OidcProvider, way: str, client_id: str, secret: str = AWKWARD) -> None:
    metadata: dict[str, dict[str, Any]] = {
        "basic": {"client_secret": secret},
        "post": {"client_secret": secret, "token_endpoint_auth_method": "client_secret_post"},
        "private_key_jwt": {"jwks": public_jwks(RSA)},
        "mtls": {"tls_client_auth_san_dns": NAME},
        "none": {"grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"]},
    }
    oidc.client(client_id, **metadata["basic" if way == "basic_raw" else way])


FIELD = {"basic": "client_secret", "basic_raw": "client_secret", "post": "client_secret"} | {
    "private_key_jwt": "private_key",
    "mtls": "certificate",
}


@pytest.mark.parametrize("way", ["basic", "post", "private_key_jwt", "mtls"])
def test_is_granted_by_a_certified_provider(oidc: OidcProvider, api: str, way: str) -> None:
    """Each way proves the client, however awkward the characters of its id and secret are."""
    client_id = named()
    register(oidc, way, client_id)
    proofs = {"client_secret": AWKWARD, "private_key": pem(RSA), "certificate": certificate(oidc.authority)}
    source = asks(
        issuer=oidc.https, client_id=client_id, client_auth=way, resource=api, scopes=["read"], **{FIELD[way]: "proof"}
    )

    lease = ask(source, secret=reader(proof=proofs[FIELD[way]]), network=Network(ca_file=oidc.ca_file))

    claims = oidc.verified(lease.credential.secrets()[0], api)
    assert (claims["client_id"], claims["scope"]) == (client_id, "read")
    assert (lease.credential.principal, lease.credential.scope) == (client_id, "read")


def test_raw_is_granted_where_nothing_needs_encoding(oidc: OidcProvider, api: str) -> None:
    """Without special characters both forms of Basic are the same."""
    client_id = named().replace(":", "-").replace("@+% ", "-")
    register(oidc, "basic_raw", client_id, PLAIN)
    source = asks(token_url=f"{oidc.http}/token", client_id=client_id, client_auth="basic_raw", client_secret="proof")

    assert ask(source, secret=reader(proof=PLAIN)).credential.secrets()


@pytest.mark.parametrize(
    ("way", "proof", "code"),
    [
        ("basic", f"{AWKWARD}x", "invalid_client"),
        ("post", f"{AWKWARD}x", "invalid_client"),
        ("private_key_jwt", pem(EC), "invalid_client"),
        ("mtls", None, "invalid_client"),
        ("basic_raw", "a%zz+secret", "invalid_request"),
    ],
)
def test_wrong_proof_is_refused_by_a_certified_provider(
    oidc: OidcProvider, way: str, proof: str | None, code: str
) -> None:
    """A wrong secret, key or certificate is a refusal; that of the proof says so, and nothing of the secret is told."""
    client_id = named().replace(":", "-")
    register(oidc, way, client_id)
    source = asks(token_url=f"{oidc.https}/token", client_id=client_id, client_auth=way, **{FIELD[way]: "proof"})
    proof = proof or certificate(oidc.authority, "somebody.else.example.com")

    error = failure(source, secret=reader(proof=proof), network=Network(ca_file=oidc.ca_file))

    assert (type(error), error.code, error.proof_rejected) == (SourceRefused, code, code == "invalid_client")
    assert proof not in story(error)
    assert error.hint


def test_another_way_than_the_registered_one_is_refused(oidc: OidcProvider) -> None:
    """A secret, where the provider wants a signed assertion, is refused with a hint at ``client_auth``."""
    client_id = named()
    register(oidc, "private_key_jwt", client_id)
    source = asks(token_url=f"{oidc.http}/token", client_id=client_id, client_auth="post", client_secret="proof")

    error = failure(source, secret=reader(proof=AWKWARD))

    assert error.code == "invalid_client"
    assert "client_auth" in str(error.hint)


def test_public_client_is_granted_an_exchange(oidc: OidcProvider, api: str) -> None:
    """A client without a proof names itself, and exchanges a token that is proof enough."""
    client_id, first = named(), named()
    register(oidc, "none", client_id)
    register(oidc, "basic", first)
    oidc.resource(oidc.http, scopes=["read"])
    by_secret = asks(token_url=f"{oidc.http}/token", client_id=first, client_secret="proof", resource=oidc.http)
    subject_token = ask(by_secret, secret=reader(proof=AWKWARD)).credential.secrets()[0]

    source = asks(
        token_url=f"{oidc.http}/token",
        client_id=client_id,
        client_auth="none",
        grant="token_exchange",
        subject_token="subject",
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
        audience=api,
    )
    lease = ask(source, secret=reader(subject=subject_token))

    assert oidc.verified(lease.credential.secrets()[0], api, issuer=oidc.http)["act"] == {"sub": client_id}


@pytest.mark.parametrize(
    ("client_id", "secret", "raw", "expected"),
    [
        ("abc", "def", False, b"abc:def"),
        ("abc", "def", True, b"abc:def"),
        ("a:b", "c d+e%f", False, b"a%3Ab:c+d%2Be%25f"),
        ("a b", "c:d+e%f", True, b"a b:c:d+e%f"),
        ("é", "§", False, b"%C3%A9:%C2%A7"),
        ("é", "§", True, "é:§".encode()),
    ],
)
def test_basic_is_form_urlencoded_or_raw(client_id: str, secret: str, raw: bool, expected: bytes) -> None:
    """Basic carries id and secret form-urlencoded (RFC 6749 section 2.3.1, appendix B), or as they are."""
    scheme, _, value = basic(client_id, secret, raw=raw).partition(" ")

    assert (scheme, base64.b64decode(value)) == ("Basic", expected)


@pytest.mark.parametrize(
    ("way", "in_header", "in_form"),
    [
        ("basic", True, set()),
        ("basic_raw", True, set()),
        ("post", False, {"client_id", "client_secret"}),
        ("private_key_jwt", False, {"client_assertion", "client_assertion_type"}),
    ],
)
def test_proves_itself_in_one_place(way: str, in_header: bool, in_form: set[str]) -> None:
    """A client must not use more than one method in a request (RFC 6749 section 2.3)."""
    with Rogue(reply(body())) as server:
        ask(
            asks(token_url=server.url, client_auth=way, **{FIELD[way]: "proof"}),
            secret=reader(proof=pem(EC) if way == "private_key_jwt" else "a secret"),
        )

    (request,) = server.requests
    assert (request.headers["Authorization"] is not None) == in_header
    assert set(request.form) - {"grant_type"} == in_form


def test_proof_can_be_printed() -> None:
    """No secret is part of how a proof shows itself."""
    made = given(FakeSource(), secret=lambda _: "s3cret")

    assert repr(prove("post", "airflow", SecretName("proof"), made, audience="", key_id=None)) == "Proof(...)"


@pytest.mark.parametrize(("way", "code"), [("private_key_jwt", "key_unusable"), ("mtls", "certificate_unusable")])
def test_proof_that_is_none_is_never_sent(way: str, code: str) -> None:
    """A secret that is not the key or certificate it should be is a prerequisite that is missing here."""
    with Rogue(reply(body())) as server:
        source = asks(token_url="https" + server.url[4:], client_auth=way, **{FIELD[way]: "proof"})
        error: MintError = failure(source, secret=reader(proof="not-a-key-but-a-secret"))

    assert (type(error), error.code, server.connections) == (SourceUnavailable, code, 0)
    assert "not-a-key-but-a-secret" not in story(error)
