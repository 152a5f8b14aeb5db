"""What the connections of databases and other servers have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName, known
from airflow_ephemeral_secrets.shapes.base import PLACEHOLDER, ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.fields import Port

Host = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?|[0-9A-Fa-f:.]{0,39}:[0-9A-Fa-f:.]{0,39})(?!\n)$",
        description="a host name or address, without scheme, port or login",
    ),
]

FILLED = "is filled in by this shape"
IDENTITY = "would make the hook take another identity"
IN_THE_CLEAR = "would be a secret in the file"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def words(text: str) -> frozenset[str]:
    """Read a set of keys."""
    return frozenset(text.split())


def because(reason: str, keys: str) -> dict[str, str]:
    """Give each of some keys the same reason."""
    return dict.fromkeys(keys.split(), reason)


class Server(Shape, frozen=True, kw_only=True):
    """
    A server that takes a secret.

    :param host: the server
    :param port: its port
    :param extra: further keys of the hook
    """

    accepts: ClassVar[tuple[type[Credential], ...]] = (BearerToken, BasicCredential)

    keys: ClassVar[frozenset[str]]
    """Keys of extra that the hook, or the driver behind it, takes."""
    refused: ClassVar[Mapping[str, str]]
    """Keys of extra that would undo what this shape does, with the reason."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Keys of extra, where the file has none."""

    host: Host
    extra: dict[str, Any] = {}

    def takes(self) -> Iterable[str]:
        """List the keys that extra may have."""
        return self.keys

    def refuses(self) -> Mapping[str, str]:
        """List the keys that extra may not have, with the reason."""
        return self.refused

    def problems(self) -> list[str]:
        return [*extra_problems(self.extra, self.takes(), self.refuses())]

    @property
    def conn_type(self) -> str:
        return str(self.__struct_config__.tag)

    def filled(self, **ours: Any) -> dict[str, Any]:
        """
        Put extra together: what is usual, what the file says, what this shape adds.

        :param ours: left out where it is None
        """
        return {**self.defaults, **self.extra, **{key: value for key, value in ours.items() if value is not None}}


class Account(Server, frozen=True, kw_only=True):
    """
    A server that takes a login and a password.

    :param login: the user; a source of tokens does not name it, so give it here
    """

    login: Filled = "{username}"
    port: Port

    def problems(self) -> list[str]:
        return [*super().problems(), *login_problems(self.login)]

    def texts(self) -> Mapping[str, str]:
        return {"login": self.login}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return spec(
            credential,
            conn_type=self.conn_type,
            host=self.host,
            port=self.port,
            login=fill(self.login, credential),
            password=password(credential),
            schema=getattr(self, "schema", None),
            extra=dump(self.filled()),
        )


def extra_problems(extra: Mapping[str, Any], keys: Iterable[str], refused: Mapping[str, str]) -> Iterator[str]:
    """Say which keys of extra cannot stand there."""
    for key, value in extra.items():
        if key in refused:
            yield f"extra.{key}: {refused[key]}"
        elif key not in keys:
            yield f"extra.{key}: is not taken by this shape; {known(key, keys)}"
        elif PLACEHOLDER.search(json.dumps(value)):
            yield f"extra.{key}: placeholders are not filled in here"


def live_problems(extra: Mapping[str, Any], refused: Mapping[str, str]) -> Iterator[str]:
    """Say which keys of extra do not go with a live form, and why."""
    yield from (f"extra.{key}: does not go with live; {why}" for key, why in refused.items() if key in extra)


def header_problems(headers: Any) -> Iterator[str]:
    """Say which headers stand in the way of the token."""
    if isinstance(headers, Mapping):
        yield from (f"extra.headers.{name}: {FILLED}" for name in headers if str(name).lower() == "authorization")
    elif headers is not None:
        yield "extra.headers: expected a mapping"


def scheme_problems(field: str, plain: bool, host: str) -> list[str]:
    """
    Refuse to send a secret in the clear to another machine.

    :param plain: whether it would be
    """
    return [f"{field}: is accepted for loopback hosts only"] if plain and host not in LOOPBACK else []


def login_problems(login: str) -> Iterator[str]:
    """Refuse a login that is empty, or that shows a secret in the server's logs."""
    if not login or set(PLACEHOLDER.findall(login)) - {"username"}:
        yield "login: expected a user, in which only {username} may stand"


def password(credential: Credential) -> str:
    """Take the one secret of a token or of a login and password."""
    if isinstance(credential, BearerToken):
        return credential.token
    assert isinstance(credential, BasicCredential)
    return credential.password
