"""What a Postman collection gets from connections: variables, and headers for the requests to their hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from airflow_ephemeral_secrets.masking import basic
from airflow_ephemeral_secrets.shapes.http import HOOK_KEYS
from airflow_ephemeral_secrets.shapes.live import CAPABILITY

FIELDS = ("host", "token", "login", "password")
PLAIN_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})
KEY_WORDS = ("key", "token")


class Host(Struct, frozen=True):
    """
    Where a connection leads, and what its requests bring.

    :param headers: name and value of each
    :param live: the capability, if it leads to a live connection's endpoint
    """

    origin: str
    path: str
    headers: list[tuple[str, str]]
    live: str | None

    def __repr__(self) -> str:
        return f"Host({self.origin!r})"


class Given(Struct, frozen=True):
    """
    What one connection gives.

    :param values: variables by name
    :param secrets: what must never be read outside of the run
    """

    values: dict[str, str]
    host: Host | None
    secrets: list[str]

    def __repr__(self) -> str:
        return f"Given({', '.join(self.values)})"


def given(prefix: str, connection: Any) -> Given:
    """
    Take the variables ``PREFIX_host``, ``PREFIX_token`` and so on from a connection, those that it can fill.

    The token of a live connection is its capability: the endpoint replaces the header that brings it by a fresh token.

    :param connection: as http hooks read it
    """
    headers = {name: str(value) for name, value in connection.extra_dejson.items() if name not in HOOK_KEYS}
    login, password = connection.login, connection.password
    url = base_url(connection)
    fields = {"host": url, "token": token(headers, login, password), "login": login, "password": password}
    values = {f"{prefix}_{name}": value for name, value in fields.items() if value}
    values.update({f"{prefix}_header_{name}": value for name, value in headers.items()})
    secrets = [value for name, value in headers.items() if name.lower() not in PLAIN_HEADERS]
    secrets += [secret for secret in (fields["token"], password) if secret]
    sent = list(headers.items())
    if login and "authorization" not in map(str.lower, headers):
        secrets.append(basic(login, password or ""))
        sent.append(("Authorization", f"Basic {secrets[-1]}"))
    return Given(values, _host(url, sent, headers.get(CAPABILITY)), secrets)


def base_url(connection: Any) -> str | None:
    """Build the URL that the http hook would begin with."""
    if not connection.host:
        return None
    host = connection.host if "://" in connection.host else f"{connection.schema or 'http'}://{connection.host}"
    return (f"{host}:{connection.port}" if connection.port else str(host)).rstrip("/")


def token(headers: Mapping[str, str], login: str | None, password: str | None) -> str | None:
    """Find the Bearer token or API key of a connection, without a prefix."""
    if CAPABILITY in headers:
        return headers[CAPABILITY]
    by_name = {name.lower(): value for name, value in headers.items()}
    if "authorization" in by_name:
        scheme, _, rest = by_name["authorization"].rpartition(" ")
        return None if scheme.lower() == "basic" else rest
    keys = [value for name, value in by_name.items() if any(word in name for word in KEY_WORDS)]
    return keys[0] if keys else None if login else password


def _host(url: str | None, headers: list[tuple[str, str]], capability: str | None) -> Host | None:
    if url is None or not headers:
        return None
    parts = urlsplit(url)
    return Host(f"{parts.scheme}://{parts.netloc}".lower(), parts.path.rstrip("/"), headers, capability)
