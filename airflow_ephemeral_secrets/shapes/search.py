"""Connections of search engines: ``elasticsearch`` and ``opensearch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, dump, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.live import LED, BearerFace, LiveFace, Route
from airflow_ephemeral_secrets.shapes.server import (
    FILLED,
    IDENTITY,
    Server,
    because,
    header_problems,
    live_problems,
    scheme_problems,
    words,
)

NOT_LIVE = {
    **because(
        "network.ca_file is for what goes on from here",
        """
        ca_certs client_cert client_key ssl_assert_fingerprint ssl_assert_hostname ssl_show_warn verify_certs
        """,
    ),
    **because("nodes would be asked past 127.0.0.1", "sniff_before_requests sniff_on_node_failure sniff_on_start"),
}


class Elasticsearch(Server, frozen=True, kw_only=True, tag="elasticsearch"):
    """
    An Elasticsearch connection that proves itself with a token, or with a login and password.

    The hook reads it once, and sends the secret with each request.

    :param schema: ``https``; ``http`` for loopback hosts
    :param header: what the token is: ``bearer_auth``, or ``api_key`` in its encoded form
    :param extra: keys of the hook (``fetch_size``) and of the client
    :param live: lead the hook through this process, which adds a fresh secret to each request
    """

    cautions = ("the hook keeps the secret, and sends it with each request: a task may run until it ends",)
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
            *(live_problems(self.extra, NOT_LIVE) if self.live else ()),
        ]

    def notes(self) -> Sequence[str]:
        return [LED] if self.live else self.cautions

    def face(self) -> LiveFace | None:
        if not self.live:
            return None
        prefix = "Bearer " if self.header == "bearer_auth" else "ApiKey "
        upstream = f"{self.schema}://{self.host}:{self.port}"
        return BearerFace(upstream=upstream, header="Authorization", prefix=prefix)

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return spec(
            None,
            secrets=(route.capability,),
            conn_type="elasticsearch",
            host="127.0.0.1",
            port=route.port,
            schema="http",
            extra=dump(self.filled(bearer_auth=route.capability)),
        )

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
    An OpenSearch connection whose token travels as a Bearer, or that has a login and password.

    The hook reads it once, and sends the secret with each request. ``use_ssl`` and ``verify_certs`` are on unless
    ``extra`` says otherwise; the hook alone would leave both off.

    :param extra: keys of the hook: ``use_ssl``, ``verify_certs``, ``url_prefix``, ``timeout``, ``headers`` and others
    """

    cautions = ("the hook keeps the secret, and sends it with each request: a task may run until it ends",)
    keys = words("headers http_compress opaque_id timeout url_prefix use_ssl verify_certs")
    refused = {"scheme": "is what use_ssl says"}
    defaults = {"use_ssl": True, "verify_certs": True}

    port: Port = 9200

    def problems(self) -> list[str]:
        return [
            *super().problems(),
            *scheme_problems("extra.use_ssl", self.extra.get("use_ssl", True) is not True, self.host),
            *header_problems(self.extra.get("headers")),
        ]

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
