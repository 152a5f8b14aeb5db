"""Routes to what live shapes ask for, in this process."""

from __future__ import annotations

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.live.command import command
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.live.face import Face
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
    Open a route, or give the one that is open for the same request of the same caller.

    :param name: the conn_id of the lookup
    :param sessions: whether the amazon provider makes its sessions by our factory
    """
    if isinstance(face, CommandFace):
        return Route(command=command(face.verb, name, caller, resolver.config.where))
    if isinstance(face, ManagedIdentityFace):
        return _identity(resolver, recipe, name, caller, face)
    key = (resolver, name, caller, recipe.lease_key(caller, recipe.facts(caller)))
    supply = Supply(resolver, recipe, name, caller)
    if isinstance(face, CallbackFace) or (isinstance(face, StsFace) and sessions):
        return SESSIONS.route(key, lambda: supply)
    if isinstance(face, (TokenFace, StsFace)):
        return ENDPOINT.desk(key, lambda capability: _desk(face, capability, supply, resolver))
    return ENDPOINT.route(key, lambda: _origin(face, supply, resolver))


def _identity(resolver: Resolver, recipe: Recipe, name: str, caller: Caller, face: ManagedIdentityFace) -> Route:
    from airflow_ephemeral_secrets.live.msi import Identity, open_identity

    def supply(one: Recipe) -> Supply:
        return Supply(resolver, one, name, caller)

    return open_identity(resolver, Identity(recipe, name, caller, face, supply))


def _desk(face: TokenFace | StsFace, capability: str, supply: Supply, resolver: Resolver) -> Face:
    if isinstance(face, TokenFace):
        return TokenDesk(face, capability, supply, resolver.clock)
    return StsDesk(capability, supply, resolver.config.network, upstream=face.upstream)


def _origin(face: LiveFace, supply: Supply, resolver: Resolver) -> Face:
    network = resolver.config.network
    if isinstance(face, BearerFace):
        return BearerOrigin(face.upstream, supply, network, header=face.header, prefix=face.prefix)
    assert isinstance(face, SigningFace)
    return SigningOrigin(face.upstream, supply, network, service=face.service, region=face.region)
