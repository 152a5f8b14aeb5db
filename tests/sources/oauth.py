"""Sources of kind ``oauth2``, what they are told to prove themselves by, and keys to do so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_ephemeral_secrets.reading import Problems, SecretName, struct
from airflow_ephemeral_secrets.sources.oauth2 import OAuth2

AWKWARD = "s:e@c+r%t /=&?#~*'\"\\ ;,%2B"
GOOD = {"access_token": "a-token-of-the-test", "token_type": "Bearer", "expires_in": 300}
RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    """Write a private key as PKCS #8."""
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def body(**members: Any) -> bytes:
    """Write a good answer, changed."""
    return json.dumps({**GOOD, **members}).encode()


def named() -> str:
    """Make the id of a client that no other test has."""
    return f"a:client@+% {uuid4()}"


def reader(**secrets: str) -> Callable[[SecretName], str]:
    """Read secret references from these values; an underscore stands for a hyphen."""
    values = {name.replace("_", "-"): value for name, value in secrets.items()}
    return lambda name: values[name.secret]


def asks(**fields: Any) -> OAuth2:
    """Configure a source; a secret is told by its name alone."""
    names = ("client_secret", "private_key", "certificate", "subject_token", "assertion")
    secrets = {name: SecretName(fields[name]) for name in names if name in fields}
    return OAuth2(**{"client_id": "airflow", **fields, **secrets})


def problems(**fields: Any) -> list[str]:
    """List what the configuration says about such a source."""
    found = Problems()
    raw: Mapping[str, Any] = {"client_id": "airflow", **fields}
    source = struct(OAuth2, raw, "source", found)
    return [*found, *(source.problems() if source else [])]
