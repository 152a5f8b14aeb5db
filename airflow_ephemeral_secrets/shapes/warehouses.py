"""Connections of data warehouses: ``snowflake`` and ``databricks``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.server import (
    FILLED,
    IDENTITY,
    IN_THE_CLEAR,
    Server,
    because,
    extra_problems,
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


class Snowflake(Shape, frozen=True, kw_only=True, tag="snowflake"):
    """
    A Snowflake connection that proves itself with a token.

    The hook reads it once. A session of the connector outlives the token that it began with; the SQL API needs the
    token with each request.

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

    def problems(self) -> list[str]:
        return [*extra_problems(self.extra, SNOWFLAKE_KEYS, SNOWFLAKE_REFUSED)]

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        ours = {
            "account": self.account,
            "authenticator": self.authenticator,
            "warehouse": self.warehouse,
            "database": self.database,
            "role": self.role,
            "region": self.region,
        }
        federated = self.authenticator == "WORKLOAD_IDENTITY"
        proof = {"workload_identity_provider": "OIDC", "token": credential.token} if federated else {}
        return spec(
            credential,
            conn_type="snowflake",
            login=self.login,
            password=None if federated else credential.token,
            schema=self.schema,
            extra=dump({**self.extra, **{key: value for key, value in ours.items() if value}, **proof}),
        )


class Databricks(Server, frozen=True, kw_only=True, tag="databricks"):
    """
    A Databricks connection whose password is the token, and which has no login: with one, the hook sends Basic.

    The hook reads it once, and sends the token with each request, of REST and of SQL.

    :param host: the workspace, such as ``dbc-1234.cloud.databricks.com``
    :param port: where it is not that of ``schema``
    :param schema: ``https``; ``http`` for loopback hosts
    :param extra: keys of the hook (``http_path``, ``session_configuration``, ``proxies``) and of ``databricks.sql``
    """

    accepts = (BearerToken,)
    why_static = "its SQL hook insists on https, which no place on 127.0.0.1 speaks"
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

    def problems(self) -> list[str]:
        return [*super().problems(), *scheme_problems("schema", self.schema == "http", self.host)]

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
