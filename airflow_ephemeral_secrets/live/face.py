"""What answers behind a place on loopback, what it is asked, and what goes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from airflow_ephemeral_secrets.live.body import Body

CHUNK = 64 * 1024


class Asked(NamedTuple):
    """
    A request as it came in.

    :param target: path and query, as they stand on the wire
    :param headers: without those that belong to this hop, and without the capability; for a desk, all of them
    :param kept: what whoever answers keeps with the connection that it came over
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: Body
    kept: dict[object, str]


class Answered(NamedTuple):
    """
    What goes back.

    :param content: pieces of the body as they come; closed where it can be, however the answer ends
    """

    status: int
    headers: list[tuple[str, str]]
    content: Iterator[bytes]


class Face(Protocol):
    """What answers behind a route."""

    def answer(self, asked: Asked) -> Answered:
        """Answer one request."""


class Doors(Protocol):
    """Who knows what a client may be let in to."""

    def face(self, capability: str) -> Face | None: ...

    def desk_at(self, target: str) -> Face | None: ...


HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
"""Headers that belong to one hop (RFC 9110 section 7.6.1)."""


def end_to_end(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out the headers that belong to one hop, and those that ``Connection`` names."""
    named = {
        word.strip().lower() for name, value in headers if name.lower() == "connection" for word in value.split(",")
    }
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP | named]


def refusal(status: int, why: str) -> Answered:
    """Answer in our own name, which a header tells."""
    body = f"airflow-ephemeral-secrets: {why}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("X-Airflow-Ephemeral", "refused"),
        ("Connection", "close"),
    ]
    return Answered(status, headers, iter([body]))
