"""What a source is, and what it is given when it mints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from airflow_ephemeral_secrets.caller import Attribution, Caller, stamp_id
from airflow_ephemeral_secrets.clock import Deadline, Duration, Instant, seconds
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.files import AbsolutePath

Endpoint = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^\s\x00/?#@]+|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?)(/[^\s\x00?#]*)?(?!\n)$",
        description="an https URL without a login (http for loopback only)",
    ),
]
Proxy = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s\x00/?#@]+/?(?!\n)$",
        description="the URL of a proxy, without a login",
    ),
]


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    How providers are reached.

    :param deadline: bounds a whole lookup: waiting, minting, trying again
    :param ca_file: PEM file of the certificate authorities to trust instead of the usual ones
    :param proxy: URL of the proxy to providers; the environment's proxies are not used
    :param allow_endpoints: what a credentials file may name beyond its provider's own endpoints: these and all below
    """

    deadline: Duration = "10s"
    ca_file: AbsolutePath | None = None
    proxy: Proxy | None = None
    allow_endpoints: list[Endpoint] = []


def user_agent(stamp: Mapping[str, str] = {}) -> str:
    """Say who sends a request: this package and, where it is made for a caller that is named, the ``stamp_id``."""
    return f"airflow-ephemeral-secrets stamp/{stamp_id(stamp)}" if stamp else "airflow-ephemeral-secrets"


class Minting(Struct, frozen=True, kw_only=True):
    """
    What a source may use while it mints.

    :param facts: the source's own fields, filled in for this caller
    :param stamp: facts about the caller to leave in the provider's audit log
    :param asked: the moment before the request; expiry counts from here
    :param deadline: bounds the request
    :param network: how providers are reached
    :param secret: reads a secret reference
    """

    facts: Mapping[str, Any]
    stamp: Mapping[str, str]
    asked: Instant
    deadline: Deadline
    network: Network
    secret: Callable[[SecretName], str]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """
    Mint credentials of one kind.

    A source is its own configuration: its fields are what stands in the file. It neither caches, retries, logs nor
    reads the clock.

    :param ttl: how long a credential is asked for, or held where it does not end by itself
    :param attribution: how finely the provider's audit log names the caller; finer means more mints
    """

    templates: ClassVar[tuple[str, ...]] = ()
    """Fields in which the caller's facts may stand."""

    ttl: Duration = "1h"
    attribution: Attribution = "run"

    def yields(self) -> type[Credential]:
        """Name the kind of credential this configuration mints."""
        raise NotImplementedError

    def problems(self) -> list[str]:
        """Say what is wrong with the fields together, one ``field: message`` each."""
        return []

    def ambient(self) -> Mapping[str, str]:
        """List names from the environment that decide which identity asks; never secrets."""
        return {}

    def endpoints(self) -> list[str]:
        """List the URLs it asks, where the configuration alone tells."""
        return []

    def mint(self, minting: Minting) -> Credential:
        """
        Ask the provider for a new credential.

        :raises SourceUnavailable: when a prerequisite is missing on this worker
        :raises SourceRefused: when the provider says no
        :raises SourceFailed: when it does not answer in time, or not with sense
        """
        raise NotImplementedError

    @property
    def hold(self) -> int:
        """Seconds to hold a credential that does not end by itself."""
        return seconds(self.ttl)

    @property
    def kind(self) -> str:
        """The word for it in the configuration."""
        return str(self.__struct_config__.tag)

    def stamp(self, caller: Caller) -> Mapping[str, str]:
        """List the caller's facts to leave in the provider's audit log."""
        return caller.stamp(self.attribution)

    def facts(self, caller: Caller) -> Mapping[str, Any]:
        """
        Every field, with the caller's facts filled in.

        :raises AccessDenied: when a template needs a fact that the caller lacks
        """
        fields = msgspec.structs.asdict(self)
        return {**fields, **{name: _fill(fields[name], caller) for name in self.templates}}


def _fill(value: Any, caller: Caller) -> Any:
    if isinstance(value, str):
        return caller.fill(value)
    if isinstance(value, dict):
        return {key: _fill(item, caller) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(item, caller) for item in value]
    return value


class SecretReference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="from"):
    """Where a long-lived secret lies. It is read only when something is minted, and kept nowhere."""

    at_hand: ClassVar[bool] = False
    """Whether it lies on this worker, so that it is read at each lookup, and a change is seen at once."""

    def endpoints(self) -> list[str]:
        """List the URLs it asks, where the configuration alone tells."""
        return []

    def read(self, network: Network, deadline: Deadline) -> str:
        """
        Read it.

        :raises SourceUnavailable: when it is not there
        :raises SourceRefused: when its store says no
        :raises SourceFailed: when its store does not answer
        """
        raise NotImplementedError
