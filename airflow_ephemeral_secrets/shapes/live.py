"""What a live shape asks the asking process for: a place on loopback from which its hook refreshes by itself."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

CAPABILITY = "X-Lease-Token"
"""The header that carries a capability; its name makes Airflow's masker hide it, too."""

CLIENT_ID = "airflow-ephemeral-secrets"
"""The name of whoever asks for tokens with a capability as its secret."""

CALLBACK = "airflow_ephemeral_secrets.live.kafka.token"
"""What librdkafka calls for a token."""

LED = "requests go through 127.0.0.1 in this process, which proves each: a subprocess that outlives it cannot ask"
AT_HAND = "the client gets its tokens from 127.0.0.1 in this process: a subprocess that outlives it cannot ask"


STS_LOGIN = "airflow-ephemeral-secrets"
"""The key id that goes with a capability as its secret key."""


class Route(NamedTuple):
    """
    Where a place is, and what lets one in; or a command that needs no place.

    :param url: of the endpoint, without a path; of a desk, with one; empty for code of ours, which needs no place
    :param more: further words that prove something on the way there
    :param command: fetches a credential in a process of its own
    """

    url: str = ""
    capability: str = ""
    more: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def port(self) -> int:
        """That of the endpoint, on 127.0.0.1."""
        return int(self.url.split(":")[2].partition("/")[0])

    def __repr__(self) -> str:
        return f"Route(url={self.url!r})"


class LiveFace(Struct, frozen=True, kw_only=True):
    """What a place on loopback has to be; ``live/routes.py`` makes it."""


class BearerFace(LiveFace, frozen=True, kw_only=True):
    """
    An API, to which each request goes on with a fresh token.

    :param upstream: its base URL
    :param header: carries the token
    :param prefix: what stands before the token
    """

    upstream: str
    header: str
    prefix: str


class TokenFace(LiveFace, frozen=True, kw_only=True):
    """
    A token endpoint (RFC 6749), whose client proves itself with the capability as its secret.

    :param margin: seconds before a token's end from which on the client may ask for the next one; it had one rejected
        if it asks earlier
    :param kept: whether one client keeps a token for all of the process, so that nobody asks for the first time later
    """

    margin: float = 225.0
    kept: bool = False


class CallbackFace(LiveFace, frozen=True, kw_only=True):
    """A function of this process, :func:`airflow_ephemeral_secrets.live.kafka.token`, which is given the capability."""


class SigningFace(LiveFace, frozen=True, kw_only=True):
    """
    An API of AWS, to which each request goes on signed (Signature Version 4).

    :param upstream: its base URL
    :param service: as the signature names it
    """

    upstream: str
    service: str
    region: str


class ManagedIdentityFace(LiveFace, frozen=True, kw_only=True):
    """
    A managed identity of Azure, whose client id is the capability.

    :param resources: the APIs that it has tokens for, besides that of its source's scope
    """

    resources: tuple[str, ...]


class CommandFace(LiveFace, frozen=True, kw_only=True):
    """
    A command that the hook's client starts whenever it needs a credential.

    :param verb: of the command line, which speaks the client's protocol
    """

    verb: str


class StsFace(LiveFace, frozen=True, kw_only=True):
    """
    A desk that answers AssumeRole with the lease.

    :param upstream: where STS is for what a task asks it with the lease, if not at the regional endpoint
    """

    upstream: str | None
