"""How a client proves itself at a token endpoint."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote_plus

from msgspec import Struct

from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.assertion import read_key, signed
from airflow_ephemeral_secrets.sources.base import Minting
from airflow_ephemeral_secrets.sources.certificate import Certificate, read_certificate

ClientAuth = Literal["basic", "basic_raw", "post", "private_key_jwt", "mtls", "none"]

NEEDS: Mapping[ClientAuth, str] = {
    "basic": "client_secret",
    "basic_raw": "client_secret",
    "post": "client_secret",
    "private_key_jwt": "private_key",
    "mtls": "certificate",
}
"""The field that holds the proof, by the way it is given."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Proof(Struct, frozen=True, kw_only=True):
    """
    What a client adds to its request.

    :param headers: further headers
    :param form: further fields
    :param certificate: what it presents
    :param sent: the secrets in it
    """

    headers: Mapping[str, str] = {}
    form: Mapping[str, str] = {}
    certificate: Certificate | None = None
    sent: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Proof(...)"


def prove(
    way: ClientAuth, client_id: str, held: SecretName | None, minting: Minting, *, audience: str, key_id: str | None
) -> Proof:
    """
    Prove a client: as RFC 6749 section 2.3.1 (``basic``, ``post``), RFC 7523 and RFC 8705 have it.

    ``basic_raw`` is Basic as many servers read it: the id and the secret as they are, not form-urlencoded before.

    :param held: the secret that :data:`NEEDS` names; None for ``none``
    :param audience: the token endpoint
    :param key_id: the id of a private key
    :raises SourceUnavailable: when the secret is not usable
    """
    if held is None:
        return Proof(form={"client_id": client_id})
    secret = minting.secret(held)
    if way == "mtls":
        return Proof(form={"client_id": client_id}, certificate=read_certificate(secret, held.secret))
    if way == "private_key_jwt":
        key = read_key(secret, held.secret, key_id)
        assertion = signed(key, minting.asked, issuer=client_id, subject=client_id, audience=audience)
        return Proof(form={"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, sent=(assertion,))
    if way == "post":
        return Proof(form={"client_id": client_id, "client_secret": secret}, sent=(secret,))
    header = basic(client_id, secret, raw=way == "basic_raw")
    return Proof(headers={"Authorization": header}, sent=(secret, header))


def basic(client_id: str, secret: str, *, raw: bool) -> str:
    """
    Write a client's Basic header (RFC 7617).

    :param raw: leave out the form-urlencoding that RFC 6749 section 2.3.1 demands
    """
    pair = f"{client_id}:{secret}" if raw else f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
