"""What stands in an extra and is not the user's to set there, and URLs in it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any

from msgspec import Meta

Url = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^\s\x00/?#@{}]+|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?)(/[^\s\x00?#@{}]*)?(?!\n)$",
        max_length=2048,
        description="an https URL without a login or query (http for loopback only)",
    ),
]
HostName = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9._-]{1,253}|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{2,45})(?!\n)$",
        description="a host name or address, without a scheme or port",
    ),
]


def taken(
    conn_type: str, extra: Mapping[str, Any], *, ours: Container[str] = (), others: Container[str] = ()
) -> list[str]:
    """
    Say which keys of an extra cannot stay.

    :param conn_type: hooks read ``extra__CONNTYPE__KEY`` as ``KEY``
    :param ours: keys that the shape fills in
    :param others: keys that would make the hook take another identity
    """
    found = []
    for key in extra:
        name = key.removeprefix(f"extra__{conn_type}__")
        if name in ours:
            found.append(f"extra.{key}: is filled in by this shape")
        elif name in others:
            found.append(f"extra.{key}: would make the hook take another identity")
    return found
