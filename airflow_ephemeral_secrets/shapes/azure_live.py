"""The live form of the microsoft.azure provider's connections: a managed identity that is this process itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.live import LiveFace, ManagedIdentityFace, Route

Tenant = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]{1,253}(?!\n)$", description="a tenant id or domain")]
Resource = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.:/@~+=%-]{1,1024}(?<!/\.default)(?!\n)$",
        description="the Application ID URI of an API such as https://storage.azure.com, without /.default",
    ),
]

ASKS_HERE = "the hook gets its tokens from this process, which stands in for a managed identity, as long as it lives"
EVERYBODY = "IDENTITY_ENDPOINT and IDENTITY_HEADER are set for all of this process and for what it starts"
NO_TENANT = "airflow-ephemeral"
"""Hooks hand their credential a client id only beside a tenant; nobody is asked there."""


class AzureShape(Shape, frozen=True, kw_only=True):
    """
    A connection whose hook takes Azure's default credential where it finds no other.

    :param tenant_id: the tenant of the application
    :param live: lead the hook here for its tokens, which a source of kind ``azure`` mints; for the scope of the
        source, and for ``resources``
    :param resources: the APIs, besides the source's scope, for which a live form gives tokens
    :param extra: further keys of the hook
    """

    tenant_id: Tenant | None = None
    live: bool = False
    resources: list[Resource] = []
    extra: dict[str, Any] = {}

    def accepted(self) -> tuple[type[Credential], ...]:
        return (BearerToken,) if self.live else self.accepts

    def problems(self) -> list[str]:
        return ["resources: goes with live: true"] if self.resources and not self.live else []

    def notes(self) -> Sequence[str]:
        return (ASKS_HERE, EVERYBODY) if self.live else self.cautions

    def face(self) -> LiveFace | None:
        return ManagedIdentityFace(resources=tuple(self.resources)) if self.live else None

    def led(self, route: Route, extra: dict[str, Any], **fields: Any) -> ConnectionSpec:
        """
        Make a connection that names a client id of ours and no other credential.

        :param route: whose capability is that client id
        """
        identity = {
            "managed_identity_client_id": route.capability,
            "workload_identity_tenant_id": self.tenant_id or NO_TENANT,
        }
        return spec(
            None, secrets=(route.capability, *route.more), extra=dump({**self.extra, **extra, **identity}), **fields
        )
