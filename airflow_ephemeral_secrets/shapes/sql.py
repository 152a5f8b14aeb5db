"""Connections of SQL databases: ``postgres``, ``mysql``, ``redshift`` and ``trino``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, dump, fill, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.server import FILLED, IDENTITY, IN_THE_CLEAR, Account, because, password, words

DatabaseName = Annotated[str, Meta(min_length=1, max_length=255)]

DBAPI_KEYS = words(
    """
    dialect escape_column_names escape_word_format insert_statement_format placeholder replace_statement_format
    sqlalchemy_scheme
    """
)
"""Keys that ``DbApiHook`` reads; some hooks hand them to the driver as well, which fails."""


MYSQL_KEYS = {
    "mysqlclient": words("charset cursor ssl ssl_mode unix_socket"),
    "mysql-connector-python": words(
        "ssl_ca ssl_cert ssl_cipher ssl_disabled ssl_key ssl_verify_cert ssl_verify_identity"
    ),
}
"""Keys that the hook reads for one client; for the other it passes over them in silence."""


class Database(Account, frozen=True, kw_only=True):
    """
    A database that takes the secret as a password.

    :param schema: the database
    """

    cautions = ("the hook keeps the password, and needs it to connect: a connection that is open stays open",)

    schema: DatabaseName | None = None


class Postgres(Database, frozen=True, kw_only=True, tag="postgres"):
    """
    A PostgreSQL connection whose password is the secret: an RDS, Entra or Cloud SQL token, or a database's own.

    The hook reads it once, and needs the secret only to connect. ``sslmode`` is ``require`` unless ``extra`` has
    another; ``verify-full`` also proves the server.

    :param extra: keys of the hook (``cursor``, ``sqlalchemy_query`` …) and of libpq
    """

    keys = words(
        """
        application_name channel_binding client_encoding connect_timeout cursor fallback_application_name gssencmode
        hostaddr keepalives keepalives_count keepalives_idle keepalives_interval load_balance_hosts
        max_protocol_version min_protocol_version options replication require_auth requirepeer sqlalchemy_query
        sqlalchemy_scheme ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode sslcompression sslcrl
        sslcrldir sslkey sslmode sslnegotiation sslrootcert sslsni target_session_attrs tcp_user_timeout
        """
    )
    refused = {
        **because(FILLED, "database dbname host password port user"),
        **because(
            IDENTITY,
            """
            aws_conn_id azure_conn_id cluster-identifier iam passfile redshift redshift-serverless service
            workgroup-name
            """,
        ),
        **because(IN_THE_CLEAR, "sslpassword"),
    }
    defaults = {"sslmode": "require"}

    port: Port = 5432


class Mysql(Database, frozen=True, kw_only=True, tag="mysql"):
    """
    A MySQL or MariaDB connection whose password is the secret.

    The hook reads it once, and needs the secret only to connect. ``ssl_mode`` is ``REQUIRED`` unless ``extra`` has
    ``ssl``, ``ssl_mode`` or another ``client``.

    :param extra: keys of the hook for the ``client`` that it uses, ``mysqlclient`` or ``mysql-connector-python``
    """

    keys = DBAPI_KEYS | {"client"}
    refused = because(IDENTITY, "aws_conn_id iam")

    port: Port = 3306

    def takes(self) -> Iterable[str]:
        return self.keys | MYSQL_KEYS.get(self._client, frozenset())

    def problems(self) -> list[str]:
        if self._client not in MYSQL_KEYS:
            return [f"extra.client: expected {' or '.join(MYSQL_KEYS)}"]
        return super().problems()

    @property
    def _client(self) -> str:
        return str(self.extra.get("client", "mysqlclient"))

    def filled(self, **ours: Any) -> dict[str, Any]:
        told = self._client != "mysqlclient" or not {"ssl", "ssl_mode"}.isdisjoint(self.extra)
        return super().filled(**ours, ssl_mode=None if told else "REQUIRED")


class Redshift(Database, frozen=True, kw_only=True, tag="redshift"):
    """
    A Redshift connection whose login and password are temporary.

    The hook reads it once, and needs the password only to connect. ``redshift_connector`` encrypts unless ``extra``
    says otherwise.

    :param extra: keys of ``redshift_connector.connect``
    """

    keys = words(
        """
        application_name client_protocol_version database_metadata_current_db_only enable_table_types
        max_prepared_statements numeric_to_float source_address ssl sslmode tcp_keepalive tcp_keepalive_count
        tcp_keepalive_idle tcp_keepalive_interval timeout
        """
    )
    refused = {
        **because(FILLED, "database host password port user"),
        **because(
            IDENTITY,
            """
            access_key_id cluster_identifier credentials_provider db_user iam is_serverless profile region role_arn
            serverless_work_group unix_sock
            """,
        ),
        **because(IN_THE_CLEAR, "client_secret secret_access_key session_token token web_identity_token"),
    }

    port: Port = 5439


class Trino(Account, frozen=True, kw_only=True, tag="trino"):
    """
    A Trino connection that proves itself with a JWT, or with a login and password; always over TLS.

    The hook reads it anew each time it connects; a query keeps what it began with.

    :param login: the user that queries run as
    :param catalog: the default catalog
    :param schema: the default schema
    :param extra: further keys of the hook, such as ``verify``, ``session_properties`` or ``client_tags``
    """

    why_static = "its hook sends a token by https only, which no place on 127.0.0.1 speaks"
    keys = DBAPI_KEYS | words("client_tags isolation_level roles session_properties source timezone verify")
    refused = {
        **because(FILLED, "auth catalog jwt__file jwt__token protocol"),
        **because(IDENTITY, "certs__client_cert_path certs__client_key_path impersonate_as_owner kerberos__principal"),
        **because(IN_THE_CLEAR, "extra_credential"),
    }

    cautions = ("the hook reads the connection each time it connects; a query must end before the token it began with",)

    port: Port = 443
    catalog: DatabaseName | None = None
    schema: DatabaseName | None = None

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        token = credential.token if isinstance(credential, BearerToken) else None
        auth = {} if token is None else {"auth": "jwt", "jwt__token": token}
        return spec(
            credential,
            conn_type="trino",
            host=self.host,
            port=self.port,
            login=fill(self.login, credential),
            password=password(credential) if token is None else None,
            schema=self.schema,
            extra=dump(self.filled(**auth, protocol="https", catalog=self.catalog)),
        )
