"""Routes to what live shapes ask for, in this process."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.live.command import command
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT, Face
from airflow_ephemeral_secrets.live.origin import BearerOrigin, SigningOrigin
from airflow_ephemeral_secrets.live.sessions import SESSIONS
from airflow_ephemeral_secrets.live.sts import StsDesk
from airflow_ephemeral_secrets.live.supply import HandedOut, Supply
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import (
    BearerFace,
    CommandFace,
    LiveFace,
    ManagedIdentityFace,
    Route,
    SigningFace,
    StsFace,
)


def open_route(
    resolver: Resolver,
    recipe: Recipe,
    name: str,
    caller: Caller,
    face: LiveFace,
    mask: Callable[[Masks], None] = lambda _: None,
    *,
    sessions: bool = False,
) -> Route:
    """
    Open a route, or give the one that is open for the same request.

    :param name: the conn_id of the lookup
    :param mask: keeps what a desk hands out of the task's log
    :param sessions: whether the amazon provider makes its sessions by our factory
    :raises AccessDenied: in a process that parses Dags, and ends before any task could use it
    """
    if caller.process == "parse":
        raise AccessDenied(
            "it is live, and a process that parses Dags does not last", code="not_live_here", hint="asking in the task"
        )
    if isinstance(face, CommandFace):
        return Route(command=command(face.verb, name, caller, resolver.config.where))
    if isinstance(face, ManagedIdentityFace):
        from airflow_ephemeral_secrets.live.msi import Identity, open_identity

        identity = Identity(recipe, name, caller, face, lambda one: HandedOut(resolver, one, name, caller, mask))
        return open_identity(resolver, identity)
    key = (resolver, name, recipe.lease_key(caller, recipe.facts(caller)))
    network = resolver.config.network
    handed_out = HandedOut(resolver, recipe, name, caller, mask)
    if isinstance(face, StsFace) and sessions:
        return SESSIONS.route(key, lambda: handed_out)
    if isinstance(face, StsFace):
        upstream = face.upstream
        return ENDPOINT.desk(key, lambda capability: StsDesk(capability, handed_out, network, upstream=upstream))
    supply = Supply(resolver, recipe, name, caller)

    def make() -> Face:
        if isinstance(face, BearerFace):
            return BearerOrigin(face.upstream, supply, network, header=face.header, prefix=face.prefix)
        assert isinstance(face, SigningFace)
        return SigningOrigin(face.upstream, supply, network, service=face.service, region=face.region)

    return ENDPOINT.route(key, make)
