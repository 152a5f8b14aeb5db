"""The settings of a configuration: all that is neither a secret, a source nor a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.files import AbsolutePath

Facility = Literal[
    "auth", "authpriv", "daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
]


class SyslogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where syslog is.

    :param address: the path of its socket, or ``IP:port`` for UDP
    :param facility: what the lines are filed under
    """

    address: Annotated[
        str,
        Meta(
            pattern=r"^(/[^\x00\n]{1,100}|([0-9.]{7,15}|\[[0-9a-fA-F:]{2,39}\]):[0-9]{1,5})(?!\n)$",
            description="the path of a socket, or IP:port",
        ),
    ] = "/dev/log"
    facility: Facility = "authpriv"

    def __post_init__(self) -> None:
        if self.address.startswith("/"):
            return
        from ipaddress import ip_address

        host, _, port = self.address.rpartition(":")
        ip_address(host.strip("[]"))
        if not 0 < int(port) <= 65_535:
            raise ValueError(f"{port} is not a port")


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where the audit goes, beside the Python logger ``airflow_ephemeral_secrets.audit``.

    :param file: gets one JSON line per event
    :param syslog: gets them too, as datagrams
    :param otel: hand them to OpenTelemetry's logs as well: those of the process, or an OTLP collector that the usual
        ``OTEL_EXPORTER_OTLP_*`` variables name
    """

    file: AbsolutePath | None = None
    syslog: SyslogSettings | None = None
    otel: bool = False


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where leases are shared between the processes of this host.

    :param host: ``auto``, ``off``, or a directory on a file system in RAM
    """

    host: Annotated[str, Meta(pattern=r"^(auto|off|/.*)(?!\n)$", description="auto, off or an absolute path")] = "auto"


class ParseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What Dag parsing may do.

    :param mint: whether a lookup at the top level of a Dag file gets a credential
    """

    mint: bool = False


class PolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What every recipe demands of a caller, beside its own ``allow``.

    :param deny_unknown_caller: refuse whoever has no Dag: scripts, callbacks of a Dag, Dag parsing
    :param require_team: refuse whoever has no team
    """

    deny_unknown_caller: bool = False
    require_team: bool = False


SETTINGS: Mapping[str, type[Struct]] = {
    "audit": AuditSettings,
    "store": StoreSettings,
    "network": Network,
    "parse": ParseSettings,
    "policy": PolicySettings,
}
"""By the name of their section."""
