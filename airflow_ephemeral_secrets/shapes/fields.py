"""Any connection, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec

Port = Annotated[int, Meta(ge=1, le=65_535, description="a port from 1 to 65535")]


class Fields(Shape, frozen=True, kw_only=True, tag="fields"):
    """
    A connection of any type; the credential's fields stand in braces: ``{token}``, ``{username}``, ``{password}``.

    :param conn_type: as the hook wants it
    :param host: the host
    :param login: the login
    :param password: the password
    :param schema: the schema, which many hooks read as the database
    :param port: the port
    :param extra: the hook's own keys; text in it may hold placeholders at any depth
    """

    accepts = (AwsCredential, BearerToken, BasicCredential)
    why_static = (
        "it is for hooks that are not known here; some insist on https, as dbt Cloud's does, and go nowhere else"
    )

    conn_type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.+-]{1,100}(?!\n)$", description="a connection type")]
    host: Filled | None = None
    login: Filled | None = None
    password: Filled | None = None
    schema: Filled | None = None
    port: Port | None = None
    extra: dict[str, Any] = {}

    def texts(self) -> Mapping[str, str]:
        plain = {"host": self.host, "login": self.login, "password": self.password, "schema": self.schema}
        return {**{name: text for name, text in plain.items() if text}, **dict(_texts(self.extra, "extra"))}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        def filled(text: str | None) -> str | None:
            return None if text is None else fill(text, credential)

        return spec(
            credential,
            conn_type=self.conn_type,
            host=filled(self.host),
            login=filled(self.login),
            password=filled(self.password),
            schema=filled(self.schema),
            port=self.port,
            extra=dump(_filled(self.extra, credential)),
        )


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")


def _filled(value: Any, credential: Credential) -> Any:
    if isinstance(value, str):
        return fill(value, credential)
    if isinstance(value, dict):
        return {key: _filled(item, credential) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, credential) for item in value]
    return value
