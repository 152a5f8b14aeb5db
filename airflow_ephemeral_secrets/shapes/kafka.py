"""The ``kafka`` connection of the apache.kafka provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.extra import taken

OURS = (
    "bootstrap.servers",
    "metadata.broker.list",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
)
OTHERS = ("enable.sasl.oauthbearer.unsecure.jwt", "oauth_cb")

_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\]):[0-9]+")


class Kafka(Shape, frozen=True, kw_only=True, tag="kafka"):
    """
    A Kafka cluster that asks for a user name and a password (SASL).

    The hook reads it once. librdkafka logs in with it again whenever it connects to a broker. A token goes where a
    broker takes it as a password. There is no form for a token of OAUTHBEARER: librdkafka fetches that itself.

    :param bootstrap_servers: the brokers to begin with, separated by commas
    :param mechanism: how the password is proven
    :param security_protocol: ``SASL_PLAINTEXT`` for loopback only
    :param username: the user name; for a token, what the broker wants beside it
    :param extra: further settings of librdkafka, such as ``group.id`` or ``ssl.ca.location``
    """

    accepts = (BasicCredential, BearerToken)
    cautions = ("the client keeps the password, and needs it for each connection that it opens to a broker",)

    bootstrap_servers: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9.\[\]:-]{1,260}(,[A-Za-z0-9.\[\]:-]{1,260}){0,99}(?!\n)$",
            description="HOST:PORT, separated by commas",
        ),
    ]
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    security_protocol: Literal["SASL_SSL", "SASL_PLAINTEXT"] = "SASL_SSL"
    username: Filled = "{username}"
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = taken("kafka", self.extra, ours=OURS, others=OTHERS)
        found += [
            f"extra.{key}: would make the hook take another identity"
            for key in self.extra
            if key.startswith(("sasl.oauthbearer.", "sasl.kerberos."))
        ]
        servers = self.bootstrap_servers.split(",")
        if self.security_protocol == "SASL_PLAINTEXT" and not all(map(_LOOPBACK.fullmatch, servers)):
            found.append("security_protocol: SASL_PLAINTEXT is accepted for loopback hosts only")
        if any("managedkafka" in server and "cloud.goog" in server for server in servers):
            found.append("bootstrap_servers: for this cluster the hook takes the identity of google_cloud_default")
        return found

    def texts(self) -> Mapping[str, str]:
        return {"username": self.username}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (password,) = credential.secrets()
        ours = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.mechanism,
            "sasl.username": fill(self.username, credential),
            "sasl.password": password,
        }
        return spec(credential, conn_type="kafka", extra=dump({**self.extra, **ours}))
