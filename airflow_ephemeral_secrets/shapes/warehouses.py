"""Connections of data warehouses: ``snowflake`` and ``databricks``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.live import AT_HAND, CLIENT_ID, LED, BearerFace, LiveFace, Route, TokenFace
from airflow_ephemeral_secrets.shapes.server import (
    FILLED,
    IDENTITY,
    IN_THE_CLEAR,
    Server,
    because,
    extra_problems,
    live_problems,
    scheme_problems,
    words,
)
from airflow_ephemeral_secrets.shapes.sql import DBAPI_KEYS, DatabaseName

Identifier = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9._-]{1,255}(?!\n)$", description="letters, digits, dots, underscores and hyphens"),
]

SNOWFLAKE_KEYS = DBAPI_KEYS | words(
    "host insecure_mode json_result_force_utf8_decoding ocsp_fail_open port proxy_host proxy_port session_parameters"
)
SNOWFLAKE_REFUSED = {
    **because(FILLED, "account authenticator database region role token warehouse workload_identity_provider"),
    **because(
        IDENTITY,
        """
        azure_conn_id client_request_mfa_token client_store_temporary_credential grant_type oauth_username
        private_key_file proxy_user scope token_endpoint token_file_path
        """,
    ),
    **because(IN_THE_CLEAR, "oauth_password private_key_content proxy_password refresh_token"),
}

SESSION = "a session of the connector lasts for as long as Snowflake lets one last that began with its token"


class Snowflake(Shape, frozen=True, kw_only=True, tag="snowflake"):
    """
    A Snowflake connection that proves itself with a token.

    The hook reads it once. A session of the connector outlives the token that it began with; the SQL API needs the
    token with each request. With ``live`` the hook gets a token for each session, and for each request of the SQL API;
    it is one of External OAuth.

    :param account: the account identifier, such as ``acme-prod``
    :param authenticator: ``WORKLOAD_IDENTITY`` for a JWT of an issuer that the account trusts (OIDC), or
        ``programmatic_access_token``; only the latter serves the SQL API
    :param login: the user; the token alone may name it
    :param warehouse: the warehouse
    :param database: the database
    :param schema: the schema
    :param role: the role
    :param region: where ``account`` does not name it
    :param extra: further keys of the hook, such as ``session_parameters``, or ``host`` for a private endpoint
    :param live: let the hook get its tokens from this process, whenever it needs one
    """

    accepts = (BearerToken,)
    cautions = ("the hook keeps the token: a session outlives it, the SQL API does not",)

    account: Identifier
    authenticator: Literal["WORKLOAD_IDENTITY", "programmatic_access_token"] = "WORKLOAD_IDENTITY"
    login: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    warehouse: DatabaseName | None = None
    database: DatabaseName | None = None
    schema: DatabaseName | None = None
    role: DatabaseName | None = None
    region: Identifier | None = None
    extra: dict[str, Any] = {}
    live: bool = False

    def problems(self) -> list[str]:
        found = [*extra_problems(self.extra, SNOWFLAKE_KEYS, SNOWFLAKE_REFUSED)]
        return [*found, *self._live_problems()] if self.live else found

    def _live_problems(self) -> Iterator[str]:
        if self.login:
            yield "login: does not go with live; the token names the user"
        if self.authenticator != "WORKLOAD_IDENTITY":
            yield "authenticator: does not go with live, where it is oauth"

    def notes(self) -> Sequence[str]:
        return [AT_HAND, SESSION] if self.live else self.cautions

    def face(self) -> LiveFace | None:
        return TokenFace() if self.live else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return spec(
            None,
            secrets=(route.capability,),
            conn_type="snowflake",
            login=CLIENT_ID,
            password=route.capability,
            schema=self.schema,
            extra=self._extra("oauth", grant_type="client_credentials", token_endpoint=route.url),
        )

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        federated = self.authenticator == "WORKLOAD_IDENTITY"
        proof = {"workload_identity_provider": "OIDC", "token": credential.token} if federated else {}
        return spec(
            credential,
            conn_type="snowflake",
            login=self.login,
            password=None if federated else credential.token,
            schema=self.schema,
            extra=self._extra(self.authenticator, **proof),
        )

    def _extra(self, authenticator: str, **proof: str) -> str | None:
        ours = {
            "account": self.account,
            "authenticator": authenticator,
            "warehouse": self.warehouse,
            "database": self.database,
            "role": self.role,
            "region": self.region,
        }
        return dump({**self.extra, **{key: value for key, value in ours.items() if value}, **proof})


NOT_LIVE = {
    "http_path": "SQL is asked for by https only",
    "proxies": "network.proxy is for what goes on from here",
}


class Databricks(Server, frozen=True, kw_only=True, tag="databricks"):
    """
    A Databricks connection whose password is the token, and which has no login: with one, the hook sends Basic.

    The hook reads it once, and sends the token with each request, of REST and of SQL. With ``live`` each request of
    REST has a fresh token; SQL has no live form, for its hook asks by https only.

    :param host: the workspace, such as ``dbc-1234.cloud.databricks.com``
    :param port: where it is not that of ``schema``
    :param schema: ``https``; ``http`` for loopback hosts
    :param extra: keys of the hook (``http_path``, ``session_configuration``, ``proxies``) and of ``databricks.sql``
    :param live: lead the REST hook through this process, which adds a fresh token to each request
    """

    accepts = (BearerToken,)
    cautions = ("the hook keeps the token, and sends it with each request: a task may run until it ends",)
    keys = words(
        """
        catalog enable_metric_view_metadata enable_query_result_lz4_compression enable_telemetry http_path
        ignore_transactions max_download_threads pool_maxsize proxies query_tags schema session_configuration
        staging_allowed_local_path telemetry_batch_size use_cloud_fetch use_hybrid_disposition use_inline_params
        use_sea _pool_maxsize _port _retry_delay_max _retry_delay_min _retry_stop_after_attempts_count
        _retry_stop_after_attempts_duration _socket_timeout _tls_client_cert_file _tls_client_cert_key_file
        _tls_no_verify _tls_trusted_ca_file _tls_verify_hostname
        """
    )
    refused = {
        **because(FILLED, "access_token host server_hostname token"),
        **because(
            IDENTITY,
            """
            auth_type azure_client_id azure_managed_identity_client_id azure_resource_id azure_tenant_id federated_aws
            federated_k8s federated_token_provider http_headers oauth_client_id service_principal_oauth
            use_azure_managed_identity use_default_azure_credential
            """,
        ),
        **because(IN_THE_CLEAR, "azure_client_secret oauth_client_secret password _tls_client_cert_key_password"),
    }

    port: Port | None = None
    schema: Literal["https", "http"] = "https"
    live: bool = False

    def problems(self) -> list[str]:
        found = [*super().problems(), *scheme_problems("schema", self.schema == "http", self.host)]
        return [*found, *live_problems(self.extra, NOT_LIVE)] if self.live else found

    def notes(self) -> Sequence[str]:
        return (
            [LED, "DatabricksSqlHook asks by https only, so it cannot use this connection"]
            if self.live
            else self.cautions
        )

    def face(self) -> LiveFace | None:
        if not self.live:
            return None
        port = f":{self.port}" if self.port else ""
        return BearerFace(upstream=f"{self.schema}://{self.host}{port}", header="Authorization", prefix="Bearer ")

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return spec(
            None,
            secrets=(route.capability,),
            conn_type="databricks",
            host="127.0.0.1",
            port=route.port,
            schema="http",
            password=route.capability,
            extra=dump(self.filled()),
        )

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        return spec(
            credential,
            conn_type="databricks",
            host=self.host,
            port=self.port,
            schema=self.schema,
            password=credential.token,
            extra=dump(self.filled()),
        )
