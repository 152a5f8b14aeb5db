"""Routes to what live shapes ask for, in this process."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.live import kafka
from airflow_ephemeral_secrets.live.command import command
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT, Face
from airflow_ephemeral_secrets.live.origin import BearerOrigin, SigningOrigin
from airflow_ephemeral_secrets.live.sessions import SESSIONS
from airflow_ephemeral_secrets.live.sts import StsDesk
from airflow_ephemeral_secrets.live.supply import Supply
from airflow_ephemeral_secrets.live.token_desk import TokenDesk
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import (
    BearerFace,
    CallbackFace,
    CommandFace,
    LiveFace,
    ManagedIdentityFace,
    Route,
    SigningFace,
    StsFace,
    TokenFace,
)


def open_route(
    resolver: Resolver,
    recipe: Recipe,
    name: str,
    caller: Caller,
    face: LiveFace,
    *,
    sessions: bool = False,
) -> Route:
    """
    Open a route, or give the one that is open for the same request.

    :param name: the conn_id of the lookup
    :param sessions: whether the amazon provider makes its sessions by our factory
    """
    if isinstance(face, CommandFace):
        return Route(command=command(face.verb, name, caller, resolver.config.where))
    if isinstance(face, ManagedIdentityFace):
        return _identity(resolver, recipe, name, caller, face)
    key = (resolver, name, recipe.lease_key(caller, recipe.facts(caller)))
    supply = Supply(resolver, recipe, name, caller)
    network = resolver.config.network
    if isinstance(face, CallbackFace):
        return kafka.open_callback(key, supply)
    if isinstance(face, StsFace) and sessions:
        return SESSIONS.route(key, lambda: supply)
    if desk := _desk(face, supply, resolver):
        return ENDPOINT.desk(key, desk)

    def make() -> Face:
        if isinstance(face, BearerFace):
            return BearerOrigin(face.upstream, supply, network, header=face.header, prefix=face.prefix)
        assert isinstance(face, SigningFace)
        return SigningOrigin(face.upstream, supply, network, service=face.service, region=face.region)

    return ENDPOINT.route(key, make)


def _desk(face: LiveFace, supply: Supply, resolver: Resolver) -> Callable[[str], Face] | None:
    """Say how to make a desk with the capability that it is given, where a face is one."""
    if isinstance(face, TokenFace):
        return lambda capability: TokenDesk(capability, supply, resolver.clock, kept=face.kept)
    if isinstance(face, StsFace):
        return lambda capability: StsDesk(capability, supply, resolver.config.network, upstream=face.upstream)
    return None


def _identity(resolver: Resolver, recipe: Recipe, name: str, caller: Caller, face: ManagedIdentityFace) -> Route:
    """Open a managed identity; what it takes of Azure is loaded here, and nowhere else."""
    from airflow_ephemeral_secrets.live.msi import Identity, open_identity

    return open_identity(
        resolver, Identity(recipe, name, caller, face, lambda one: Supply(resolver, one, name, caller))
    )
