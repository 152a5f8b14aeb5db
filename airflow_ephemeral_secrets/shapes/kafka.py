"""The ``kafka`` connection of the apache.kafka provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.extra import taken
from airflow_ephemeral_secrets.shapes.live import (
    AT_HAND,
    CALLBACK,
    CLIENT_ID,
    CallbackFace,
    LiveFace,
    Route,
    TokenFace,
)

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
OIDC = ("sasl.oauthbearer.extensions", "sasl.oauthbearer.scope", "sasl.oauthbearer.sub.claim.name")
"""Settings of librdkafka that say no more than what goes with a token."""

_MSK = re.compile(r"\.kafka(-serverless)?\.[a-z0-9-]+\.amazonaws\.com", re.IGNORECASE)
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\]):[0-9]+")


class Kafka(Shape, frozen=True, kw_only=True, tag="kafka"):
    """
    A Kafka cluster that asks for a user name and a password (SASL).

    The hook reads it once. librdkafka logs in with it again whenever it connects to a broker. A token goes where a
    broker takes it as a password. A token of OAUTHBEARER has a live form only: librdkafka fetches it, and fetches the
    next one when four fifths of its life are over.

    :param bootstrap_servers: the brokers to begin with, separated by commas
    :param mechanism: how the password is proven
    :param security_protocol: ``SASL_PLAINTEXT`` for loopback only
    :param username: the user name; for a token, what the broker wants beside it
    :param extra: further settings of librdkafka, such as ``group.id`` or ``ssl.ca.location``
    :param live: log in by OAUTHBEARER: ``true`` lets librdkafka fetch each token, a JWT, from this process (OIDC);
        ``oauth_cb`` lets it call this package, for tokens of any form
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
    live: bool | Literal["oauth_cb"] = False

    def accepted(self) -> tuple[type[Credential], ...]:
        return (BearerToken,) if self.live else self.accepts

    def problems(self) -> list[str]:
        found = taken("kafka", self.extra, ours=OURS, others=OTHERS)
        found += [
            f"extra.{key}: would make the hook take another identity"
            for key in self.extra
            if key.startswith(("sasl.oauthbearer.", "sasl.kerberos.")) and not (self.live is True and key in OIDC)
        ]
        servers = self.bootstrap_servers.split(",")
        if self.security_protocol == "SASL_PLAINTEXT" and not all(map(_LOOPBACK.fullmatch, servers)):
            found.append("security_protocol: SASL_PLAINTEXT is accepted for loopback hosts only")
        if any("managedkafka" in server and "cloud.goog" in server for server in servers):
            found.append("bootstrap_servers: for this cluster the hook takes the identity of google_cloud_default")
        return [*found, *self._live_problems()] if self.live else found

    def _live_problems(self) -> Iterator[str]:
        if self.username != "{username}":
            yield "username: does not go with live; the token names the user"
        if self.mechanism != "PLAIN":
            yield "mechanism: does not go with live, where it is OAUTHBEARER"
        if self.live is True and _MSK.search(self.bootstrap_servers):
            yield "bootstrap_servers: for MSK the hook takes the worker's own identity, unless live is oauth_cb"

    def texts(self) -> Mapping[str, str]:
        return {} if self.live else {"username": self.username}

    def notes(self) -> Sequence[str]:
        if self.live == "oauth_cb":
            return [f"[apache_kafka] callback_allowlist has to name {CALLBACK}"]
        return [AT_HAND, "librdkafka takes JWT only, with sub and exp"] if self.live else self.cautions

    def face(self) -> LiveFace | None:
        if self.live == "oauth_cb":
            return CallbackFace()
        return TokenFace() if self.live else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        fetched = {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": CLIENT_ID,
            "sasl.oauthbearer.client.secret": route.capability,
            "sasl.oauthbearer.token.endpoint.url": route.url,
        }
        called = {"oauth_cb": CALLBACK, "sasl.oauthbearer.config": f"lease={route.capability}"}
        extra = {
            **self.extra,
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": "OAUTHBEARER",
            **(called if self.live == "oauth_cb" else fetched),
        }
        return spec(None, secrets=(route.capability,), conn_type="kafka", extra=dump(extra))

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
