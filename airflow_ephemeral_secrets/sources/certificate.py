"""A client certificate with its private key, read from one secret and never written to a disk."""

from __future__ import annotations

import base64
import binascii
import os
import ssl

from msgspec import Struct

from airflow_ephemeral_secrets.errors import SourceUnavailable

_UNUSABLE = "{} is not a certificate with its private key"
_FORMS = "one secret that holds both in PEM, without a passphrase, or PKCS #12 in base64 as Azure Key Vault stores it"


class Certificate(Struct, frozen=True):
    """
    A certificate chain and its private key.

    :param pem: both, in PEM, the key not encrypted
    """

    pem: bytes

    def __repr__(self) -> str:
        return "Certificate(...)"

    def present(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """
        Let a TLS context present it.

        OpenSSL reads it from a file, so it is given one that lies in the memory of this process.

        :return: the same context
        """
        memory = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            with open(memory, "wb", closefd=False) as file:
                file.write(self.pem)
            context.load_cert_chain(f"/proc/self/fd/{memory}", password=lambda: "")
        finally:
            os.close(memory)
        return context


def read_certificate(text: str, name: str) -> Certificate:
    """
    Read a certificate and its private key from a secret.

    :param text: both in PEM (RFC 7468) without a passphrase, or PKCS #12 (RFC 7292) in base64
    :param name: of the secret, for messages
    :raises SourceUnavailable: when it is neither, or the key is not that of the certificate
    """
    certificate = Certificate(text.encode()) if "-----BEGIN" in text else _from_pkcs12(text)
    if certificate:
        try:
            certificate.present(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        except (OSError, ValueError):
            certificate = None
    if certificate is None:
        raise SourceUnavailable(_UNUSABLE.format(f"secret {name}"), code="certificate_unusable", hint=_FORMS)
    return certificate


def _from_pkcs12(text: str) -> Certificate | None:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.serialization import pkcs12
    except ModuleNotFoundError:
        raise SourceUnavailable(
            "the package cryptography, which reads PKCS #12, is not installed on this worker",
            code="package_missing",
            hint="pip install 'airflow-ephemeral-secrets[oauth2]'",
        ) from None
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
        key, leaf, chain = pkcs12.load_key_and_certificates(content, None)
    except (ValueError, TypeError, binascii.Error):
        return None
    if key is None or leaf is None:
        return None
    pem = serialization.Encoding.PEM
    parts = [
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        *(one.public_bytes(pem) for one in (leaf, *chain)),
    ]
    return Certificate(b"".join(parts))
