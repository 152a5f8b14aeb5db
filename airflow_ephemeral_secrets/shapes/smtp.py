"""The ``smtp`` connection of the smtp provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.extra import HostName, taken
from airflow_ephemeral_secrets.shapes.fields import Port

OURS = ("access_token", "auth_type", "disable_ssl", "disable_tls")
OTHERS = ("client_id", "client_secret", "tenant_id", "scope")

_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")


class Smtp(Shape, frozen=True, kw_only=True, tag="smtp"):
    """
    A mail server.

    The hook reads it each time it connects.

    :param host: the mail server
    :param port: 587 for STARTTLS, 465 for TLS from the start
    :param login: the user name; for a token, whose it is
    :param auth_type: ``oauth2`` sends a token (XOAUTH2), ``basic`` a password
    :param disable_ssl: true for STARTTLS
    :param disable_tls: true for TLS from the start
    :param extra: further keys of the hook, such as ``from_email`` or ``timeout``
    """

    accepts = (BasicCredential, BearerToken)
    cautions = (
        "the hook reads the connection whenever it logs in",
        "asynchronously only passwords and TLS from the start work: the hook asks for STARTTLS twice",
    )

    host: HostName
    port: Port = 587
    login: Filled = "{username}"
    auth_type: Literal["basic", "oauth2"] = "basic"
    disable_ssl: bool = True
    disable_tls: bool = False
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = taken("smtp", self.extra, ours=OURS, others=OTHERS)
        if not self.disable_ssl and not self.disable_tls:
            found.append("disable_tls: true where disable_ssl is false; the hook would ask for TLS inside of TLS")
        if self.auth_type == "oauth2" and self.disable_tls:
            found.append("disable_tls: the hook would log in too early, and go on without; oauth2 needs STARTTLS")
        elif self.disable_ssl and self.disable_tls and not _LOOPBACK.fullmatch(self.host):
            found.append("disable_tls: mail without TLS is accepted for loopback hosts only")
        return found

    def texts(self) -> Mapping[str, str]:
        return {"login": self.login, **({"auth_type": "{token}"} if self.auth_type == "oauth2" else {})}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (opens,) = credential.secrets()
        oauth2 = self.auth_type == "oauth2"
        ours = {"disable_ssl": self.disable_ssl, "disable_tls": self.disable_tls, "auth_type": self.auth_type}
        return spec(
            credential,
            conn_type="smtp",
            host=self.host,
            port=self.port,
            login=fill(self.login, credential),
            password=None if oauth2 else opens,
            extra=dump({**self.extra, **ours, **({"access_token": opens} if oauth2 else {})}),
        )
