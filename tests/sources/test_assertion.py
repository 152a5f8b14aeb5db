"""Signed assertions: which keys sign, by which algorithm, and what is claimed; read by another implementation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.sources.assertion import read_key, signed
from airflow_ephemeral_secrets.testing import START
from tests.sources.asking import story
from tests.sources.oauth import EC, RSA, pem

AT = Instant(START + 0.75, 1_000.0)
KEYS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "rsa": (lambda: RSA, "RS256", "RSA"),
    "p-256": (lambda: EC, "ES256", "EC"),
    "p-384": (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384", "EC"),
    "p-521": (lambda: ec.generate_private_key(ec.SECP521R1()), "ES512", "EC"),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, "EdDSA", "OKP"),
}


def other(key: Any, family: str) -> Key:
    """Read a key by the other implementation."""
    kinds: dict[str, Callable[[str], Key]] = {
        "RSA": RSAKey.import_key,
        "EC": ECKey.import_key,
        "OKP": OKPKey.import_key,
    }
    return kinds[family](pem(key))


def jwk(key: Any, family: str, *, private: bool = True, **more: str) -> str:
    return json.dumps({**other(key, family).as_dict(private=private), **more})


def assertion(text: str, key_id: str | None = None) -> str:
    return signed(read_key(text, "a-key", key_id), AT, issuer="me", subject="you", audience="https://idp.test/token")


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("form", ["pem", "jwk"])
@pytest.mark.parametrize("kind", KEYS)
def test_signs_by_the_algorithm_of_the_key(kind: str, form: str) -> None:
    """Keys in PEM and as JWK sign, each by the algorithm of its kind and no other, as another implementation reads."""
    make, alg, family = KEYS[kind]
    key = make()
    text = pem(key) if form == "pem" else jwk(key, family, alg="none")

    read = jwt.decode(assertion(text), other(key, family), algorithms=[alg])

    assert read.header["alg"] == alg
    assert read.claims["iss"] == "me"


@pytest.mark.parametrize("key", [RSA, EC], ids=["rsa", "ec"])
def test_takes_the_older_pem(key: Any) -> None:
    """PEM of the kind that OpenSSL wrote before PKCS #8 is a key as well."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()

    assert "PRIVATE KEY" in text
    assert assertion(text).count(".") == 2


def test_claims() -> None:
    """It is good from 5 s before the request to 60 s after, for the endpoint, and names issuer and subject."""
    claims = jwt.decode(assertion(pem(EC)), other(EC, "EC")).claims

    del claims["jti"]
    assert claims == {
        "iss": "me",
        "sub": "you",
        "aud": "https://idp.test/token",
        "iat": int(START) - 5,
        "exp": int(START) + 60,
    }


def test_no_two_are_alike() -> None:
    """A server takes each assertion once (RFC 7523 section 3): what the same key asserts at once twice differs."""
    key = other(EC, "EC")

    assert len({jwt.decode(assertion(pem(EC)), key).claims["jti"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        (pem(EC), None, None),
        (pem(EC), "configured", "configured"),
        (jwk(EC, "EC", kid="own"), None, "own"),
        (jwk(EC, "EC", kid="own"), "configured", "configured"),
    ],
)
def test_names_the_key(text: str, given: str | None, expected: str | None) -> None:
    """The key's id is the configured one, else the JWK's own, else none."""
    assert jwt.decode(assertion(text, given), other(EC, "EC")).header.get("kid") == expected


def encrypted() -> str:
    how = BestAvailableEncryption(b"passphrase")
    return RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def public(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "no-key-but-a-secret", id="text"),
        pytest.param(lambda: "no-key-but-a-secret \x00 §", id="odd text"),
        pytest.param(lambda: "-----BEGIN PRIVATE KEY-----\nbm90LWEta2V5\n-----END PRIVATE KEY-----\n", id="broken"),
        pytest.param(encrypted, id="encrypted"),
        pytest.param(lambda: public(RSA), id="public"),
        pytest.param(lambda: pem(dsa.generate_private_key(2_048)), id="dsa"),
        pytest.param(lambda: pem(ed448.Ed448PrivateKey.generate()), id="ed448"),
        pytest.param(lambda: pem(x25519.X25519PrivateKey.generate()), id="x25519"),
        pytest.param(lambda: pem(rsa.generate_private_key(65_537, 1_024)), id="short rsa"),
        pytest.param(lambda: pem(ec.generate_private_key(ec.SECP256K1())), id="another curve"),
        pytest.param(lambda: jwk(EC, "EC", private=False), id="public jwk"),
        pytest.param(lambda: jwk(RSA, "RSA", private=False), id="public rsa jwk"),
        pytest.param(lambda: '{"kty": "oct", "k": "bm90LWEta2V5LWJ1dC1hLXNlY3JldA"}', id="symmetric jwk"),
        pytest.param(lambda: '{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}', id="broken jwk"),
        pytest.param(lambda: '{"kty": "EC", "crv": "P-256", "x": 1, "y": [], "d": {}}', id="odd jwk"),
        pytest.param(lambda: '{"kty": "new"}', id="unknown jwk"),
        pytest.param(lambda: "{}", id="empty jwk"),
        pytest.param(lambda: '{"keys": []}', id="jwk set"),
    ],
)
def test_refuses_what_cannot_sign(make: Callable[[], str]) -> None:
    """Whatever else a secret holds is told by its name alone, with what would do."""
    text = make()
    with pytest.raises(SourceUnavailable) as caught:
        read_key(text, "a-key", None)

    assert (caught.value.code, caught.value.__context__) == ("key_unusable", None)
    assert str(caught.value).startswith("secret a-key is not a private key that can sign; try: ")
    assert text not in story(caught.value)


def test_key_can_be_printed() -> None:
    """The key is not part of how it shows itself."""
    assert repr(read_key(pem(EC), "a-key", "k1")) == "SigningKey(alg='ES256', kid='k1')"


@pytest.mark.parametrize(("module", "package"), [("jwt", "pyjwt"), ("cryptography", "cryptography")])
def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    """A worker without what signs is told which extra brings it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceUnavailable) as caught:
        read_key(pem(EC), "a-key", None)

    assert caught.value.code == "package_missing"
    assert package in caught.value.message
    assert caught.value.hint == "pip install 'airflow-ephemeral-secrets[oauth2]'"


@pytest.mark.parametrize("name", ["oauth2", "apigee", "client_auth", "assertion", "discovery", "grant"])
def test_importing_loads_nothing_heavy(name: str) -> None:
    """What signs and what sends is loaded by whoever mints."""
    code = f"""
import sys, airflow_ephemeral_secrets.sources.{name}
print(sorted({{"jwt", "cryptography", "urllib3", "requests"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
