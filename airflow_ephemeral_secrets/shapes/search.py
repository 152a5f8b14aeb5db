"""Connections of search engines: ``elasticsearch`` and ``opensearch``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, dump, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.http_sigv4 import NO_REGION, Region, region
from airflow_ephemeral_secrets.shapes.live import CAPABILITY, LED, BearerFace, LiveFace, Route, SigningFace
from airflow_ephemeral_secrets.shapes.server import (
    FILLED,
    IDENTITY,
    Server,
    because,
    header_problems,
    scheme_problems,
    words,
)

KEPT = "the hook keeps the secret, and sends it with each request: a task may run until it ends"
TLS_KEYS = words(
    "ca_certs client_cert client_key ssl_assert_fingerprint ssl_assert_hostname ssl_show_warn verify_certs"
)
"""Keys that would be for the way to loopback."""


class Elasticsearch(Server, frozen=True, kw_only=True, tag="elasticsearch"):
    """
    An Elasticsearch connection that proves itself with a token, or with a login and password.

    The hook reads it once, and sends the secret with each request. A live one leads the hook through this process.

    :param schema: ``https``; ``http`` for loopback hosts
    :param header: what the token is: ``bearer_auth``, or ``api_key`` in its encoded form
    :param extra: keys of the hook (``fetch_size``) and of the client
    :param live: send each request with a fresh secret
    """

    cautions = (KEPT,)
    keys = words(
        """
        ca_certs client_cert client_key connections_per_node dead_node_backoff_factor default_mimetype fetch_size
        field_multi_value_leniency headers http_compress max_dead_node_backoff max_retries meta_header
        min_delay_between_sniffing opaque_id randomize_nodes_in_pool request_timeout retry_backoff_base
        retry_backoff_cap retry_on_status retry_on_timeout server_mode sniff_before_requests sniff_on_node_failure
        sniff_on_start sniff_timeout ssl_assert_fingerprint ssl_assert_hostname ssl_show_warn verify_certs
        """
    )
    refused = {
        **because(FILLED, "api_key bearer_auth host password port scheme user"),
        **because(IDENTITY, "basic_auth cloud_id http_auth"),
    }

    port: Port = 9200
    schema: Literal["https", "http"] = "https"
    header: Literal["bearer_auth", "api_key"] = "bearer_auth"
    live: bool = False

    def problems(self) -> list[str]:
        return [
            *super().problems(),
            *scheme_problems("schema", self.schema == "http", self.host),
            *header_problems(self.extra.get("headers")),
            *(_not_live(self.extra) if self.live else ()),
        ]

    def notes(self) -> Sequence[str]:
        return [LED if self.live else KEPT]

    def face(self) -> LiveFace | None:
        prefix = "Bearer " if self.header == "bearer_auth" else "ApiKey "
        upstream = _url(self.schema, self.host, self.port)
        return BearerFace(upstream=upstream, header="Authorization", prefix=prefix) if self.live else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return _led("elasticsearch", route, self.filled(headers=_headers(self.extra, route)), schema="http")

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        basic = credential if isinstance(credential, BasicCredential) else None
        token = {self.header: credential.token} if isinstance(credential, BearerToken) else {}
        return spec(
            credential,
            conn_type="elasticsearch",
            host=self.host,
            port=self.port,
            schema=self.schema,
            login=basic and basic.username,
            password=basic and basic.password,
            extra=dump(self.filled(**token)),
        )


class Opensearch(Server, frozen=True, kw_only=True, tag="opensearch"):
    """
    An OpenSearch connection whose token travels as a Bearer, or that has a login and password, or signs for AWS.

    The hook reads it once, and sends the secret with each request. ``use_ssl`` and ``verify_certs`` are on unless
    ``extra`` says otherwise; the hook alone would leave both off. A live one leads the hook through this process; one
    that signs is live by nature.

    :param extra: keys of the hook: ``use_ssl``, ``verify_certs``, ``url_prefix``, ``timeout``, ``headers`` and others
    :param live: send each request with a fresh secret
    :param service: sign each request with AWS keys: for a domain ``es``, for a serverless collection ``aoss``
    :param region: of the signature, where the host does not name it
    """

    accepts = (BearerToken, BasicCredential, AwsCredential)
    cautions = (KEPT,)
    keys = words("headers http_compress opaque_id timeout url_prefix use_ssl verify_certs")
    refused = {"scheme": "is what use_ssl says"}
    defaults = {"use_ssl": True, "verify_certs": True}

    port: Port = 9200
    live: bool = False
    service: Literal["es", "aoss"] | None = None
    region: Region | None = None

    def accepted(self) -> tuple[type[Credential], ...]:
        return (AwsCredential,) if self.service else (BearerToken, BasicCredential)

    def problems(self) -> list[str]:
        found = [
            *super().problems(),
            *scheme_problems("extra.use_ssl", self.extra.get("use_ssl", True) is not True, self.host),
            *header_problems(self.extra.get("headers")),
            *(_not_live(self.extra) if self.live or self.service else ()),
        ]
        if self.service and not region(self.region, self.host):
            found.append(NO_REGION)
        return found

    def notes(self) -> Sequence[str]:
        return [LED if self.live or self.service else KEPT]

    def face(self) -> LiveFace | None:
        upstream = _url("https" if self.extra.get("use_ssl", True) is True else "http", self.host, self.port)
        if self.service:
            where = region(self.region, self.host)
            assert where
            return SigningFace(upstream=upstream, service=self.service, region=where)
        return BearerFace(upstream=upstream, header="Authorization", prefix="Bearer ") if self.live else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        plain = {"use_ssl": False, "verify_certs": False, "headers": _headers(self.extra, route)}
        return _led("opensearch", route, self.filled(**plain))

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        basic = credential if isinstance(credential, BasicCredential) else None
        headers = dict(self.extra.get("headers", {}))
        if isinstance(credential, BearerToken):
            headers["Authorization"] = f"Bearer {credential.token}"
        return spec(
            credential,
            conn_type="opensearch",
            host=self.host,
            port=self.port,
            login=basic and basic.username,
            password=basic and basic.password,
            extra=dump(self.filled(headers=headers or None)),
        )


def _not_live(extra: Mapping[str, Any]) -> Iterable[str]:
    """Say what would be for the way to loopback."""
    for key in sorted(TLS_KEYS & set(extra)):
        yield f"extra.{key}: does not go with live; network.ca_file is for what goes on from here"


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _headers(extra: Mapping[str, Any], route: Route) -> dict[str, str]:
    return {**extra.get("headers", {}), CAPABILITY: route.capability}


def _led(conn_type: str, route: Route, extra: Mapping[str, Any], **more: str) -> ConnectionSpec:
    """Make a connection that leads the hook to a route."""
    here = urlsplit(route.url)
    secrets = (route.capability,)
    return spec(
        None, secrets=secrets, conn_type=conn_type, host=here.hostname, port=here.port, extra=dump(extra), **more
    )
