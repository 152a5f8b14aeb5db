"""Connections of SQL databases: ``postgres``, ``mysql``, ``redshift`` and ``trino``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, dump, fill, spec
from airflow_ephemeral_secrets.shapes.fields import Port
from airflow_ephemeral_secrets.shapes.server import FILLED, IDENTITY, IN_THE_CLEAR, Account, because, password, words

ConnectionId = Annotated[str, Meta(min_length=1, max_length=250)]
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

TLS = words(
    """
    channel_binding gssencmode require_auth requirepeer ssl_max_protocol_version ssl_min_protocol_version sslcert
    sslcertmode sslcompression sslcrl sslcrldir sslkey sslmode sslnegotiation sslrootcert sslsni
    """
)
"""Keys of libpq that say whom it trusts and in what it talks to it."""

REDSHIFT_KEYS = words("cluster-identifier redshift redshift-serverless workgroup-name")
"""Keys that say whose token the hook of PostgreSQL makes."""

EACH_ANEW = "the hook makes a token for each connection that it opens, and asks for aws_conn_id each time"


class Database(Account, frozen=True, kw_only=True):
    """
    A database that takes the secret as a password.

    :param schema: the database
    """

    cautions: ClassVar[tuple[str, ...]] = (
        "the hook keeps the password, and needs it to connect: a connection that is open stays open",
    )

    schema: DatabaseName | None = None


class IamDatabase(Database, frozen=True, kw_only=True):
    """
    A database for which the hook itself can make tokens.

    :param iam: have the hook make a token for each connection that it opens, with the keys of ``aws_conn_id``; the
        source is then one of AWS keys
    :param aws_conn_id: a recipe of shape ``aws`` with the same source
    """

    accepts = (BearerToken, BasicCredential, AwsCredential)
    why_static = "with iam its hook makes a new token for each connection"
    identities: ClassVar[Mapping[str, str]] = {"aws_conn_id": "aws"}
    """Shapes of the connections whose identity the hook may use, by the field that names one."""

    iam: bool = False
    aws_conn_id: ConnectionId | None = None

    def accepted(self) -> tuple[type[Credential], ...]:
        return (AwsCredential,) if self.iam else (BearerToken, BasicCredential)

    def problems(self) -> list[str]:
        found, named = super().problems(), list(self._named())
        if self.iam and not named:
            first, *others = self.identities
            found.append(", or ".join([f"{first}: required with iam", *others]))
        found += [f"{field}: is of no use without iam" for field in named if not self.iam]
        found += [f"{field}: does not go with {named[0]}" for field in named[1:]]
        return found

    def companions(self) -> Mapping[str, tuple[str, str]]:
        return {field: (name, self.identities[field]) for field, name in self._named().items()} if self.iam else {}

    def _named(self) -> dict[str, str]:
        return {field: name for field in self.identities if (name := getattr(self, field))}

    def notes(self) -> Sequence[str]:
        return [EACH_ANEW] if self.iam else self.cautions

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        if not self.iam:
            return super().render(credential, secret)
        return spec(
            credential,
            conn_type=self.conn_type,
            host=self.host,
            port=self.port,
            login=self.login,
            schema=self.schema,
            extra=dump(self.filled(iam=True, **self._named())),
        )


class Postgres(IamDatabase, frozen=True, kw_only=True, tag="postgres"):
    """
    A PostgreSQL connection whose password is the secret: an RDS, Entra or Cloud SQL token, or a database's own.

    The hook reads it once, and needs the secret only to connect. ``sslmode`` is ``require`` unless ``extra`` has
    another; ``verify-full`` also proves the server. With ``iam`` it holds no secret, and the hook makes a token for
    each connection: of RDS, or of Redshift where ``extra`` says ``redshift`` or ``redshift-serverless``; or it gets one
    of Entra ID.

    :param azure_conn_id: instead of ``aws_conn_id``, a recipe of shape ``azure`` with the same source, whose tokens are
        for ``https://ossrdbms-aad.database.windows.net`` and whose ``extra`` has ``use_azure_identity_object``
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
    identities = {**IamDatabase.identities, "azure_conn_id": "azure"}

    port: Port = 5432
    azure_conn_id: ConnectionId | None = None

    def accepted(self) -> tuple[type[Credential], ...]:
        return (BearerToken, BasicCredential) if self.azure_conn_id else super().accepted()

    def filled(self, **ours: Any) -> dict[str, Any]:
        """Tell the hook's SQLAlchemy engine of TLS too, to which it hands on ``sqlalchemy_query`` alone."""
        whole = super().filled(**ours)
        given = whole.get("sqlalchemy_query", {})
        if not isinstance(given, dict):
            return whole  # which the hook refuses
        return {**whole, "sqlalchemy_query": {**{key: str(whole[key]) for key in sorted(TLS & whole.keys())}, **given}}

    def takes(self) -> Iterable[str]:
        return self.keys | REDSHIFT_KEYS if self.iam and self.aws_conn_id else self.keys

    def refuses(self) -> Mapping[str, str]:
        return {key: why for key, why in self.refused.items() if key not in self.takes()}


class Mysql(IamDatabase, frozen=True, kw_only=True, tag="mysql"):
    """
    A MySQL or MariaDB connection whose password is the secret.

    The hook reads it once, and needs the secret only to connect. ``ssl_mode`` is ``REQUIRED`` unless ``extra`` has
    ``ssl``, ``ssl_mode`` or another ``client``. With ``iam`` it holds no secret, and the hook makes a token of RDS for
    each connection, if its client is mysqlclient.

    :param extra: keys of the hook for the ``client`` that it uses, ``mysqlclient`` or ``mysql-connector-python``
    """

    cautions = (*Database.cautions, "its SQLAlchemy engine is told nothing of TLS: the client's own default holds")
    keys = DBAPI_KEYS | {"client"}
    refused = because(IDENTITY, "aws_conn_id iam")

    port: Port = 3306

    def takes(self) -> Iterable[str]:
        return self.keys | MYSQL_KEYS.get(self._client, frozenset())

    def problems(self) -> list[str]:
        if self._client not in MYSQL_KEYS:
            return [f"extra.client: expected {' or '.join(MYSQL_KEYS)}"]
        if self.iam and self._client != "mysqlclient":
            return ["extra.client: does not go with iam, which the hook heeds for mysqlclient only"]
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
    says otherwise; libpq, by which its SQLAlchemy engine connects, only if ``sslmode`` says so.

    :param extra: keys of ``redshift_connector.connect``
    """

    keys = words(
        """
        application_name client_protocol_version database_metadata_current_db_only enable_table_types
        max_prepared_statements numeric_to_float source_address ssl sslmode tcp_keepalive tcp_keepalive_count
        tcp_keepalive_idle tcp_keepalive_interval timeout
        """
    )
    cautions = (*Database.cautions, "its SQLAlchemy engine connects by libpq: without sslmode in extra TLS is optional")
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
