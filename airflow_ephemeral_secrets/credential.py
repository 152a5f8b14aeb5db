"""Credentials: secret material and its expiry, frozen. They do no I/O and never show a secret."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from msgspec import Struct


class Credential(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """
    What every kind has in common.

    :param expires_at: epoch seconds (UTC) after which the provider rejects it; None where it does not end by itself
    :param principal: the cloud identity it acts as
    :param scope: what was granted, where the provider says so
    :param request_id: the provider's id of the request that made it
    """

    placeholders: ClassVar[frozenset[str]] = frozenset()
    """Names that may stand in braces in a shape's fields."""

    expires_at: float | None = None
    principal: str = ""
    scope: str | None = None
    request_id: str | None = None

    def secrets(self) -> tuple[str, ...]:
        """Every secret string in it."""
        raise NotImplementedError

    def masked(self) -> tuple[str, ...]:
        """Every string in it that no log may show."""
        return self.secrets()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(principal={self.principal!r}, expires_at={self.expires_at!r})"

    def __rich_repr__(self) -> Any:
        yield "principal", self.principal
        yield "expires_at", self.expires_at

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is never pickled")


class AwsCredential(Credential, frozen=True, kw_only=True, tag="aws"):
    """An access key, with a session token where it is temporary."""

    placeholders = frozenset({"access_key_id", "secret_access_key", "session_token", "expires_at"})

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def secrets(self) -> tuple[str, ...]:
        return (self.secret_access_key, *([self.session_token] if self.session_token else []))


class BearerToken(Credential, frozen=True, kw_only=True, tag="bearer"):
    """A token that whoever bears it may use (RFC 6750), or an API key."""

    placeholders = frozenset({"token", "expires_at"})

    token: str

    def secrets(self) -> tuple[str, ...]:
        return (self.token,)


class BasicCredential(Credential, frozen=True, kw_only=True, tag="basic"):
    """
    A login and a password (RFC 7617).

    :param hidden: whether the login is a secret as well, such as an API key
    """

    placeholders = frozenset({"username", "password", "expires_at"})

    username: str
    password: str
    hidden: bool = False

    def secrets(self) -> tuple[str, ...]:
        return (self.password,)

    def masked(self) -> tuple[str, ...]:
        return (self.password, self.username) if self.hidden else (self.password,)


AnyCredential = AwsCredential | BearerToken | BasicCredential
