"""Routes to what live shapes ask for, in this process."""

from __future__ import annotations

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.live import kafka
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
    LiveFace,
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
    key = (resolver, name, recipe.lease_key(caller, recipe.facts(caller)))
    supply = Supply(resolver, recipe, name, caller)
    network = resolver.config.network
    if isinstance(face, CallbackFace):
        return kafka.open_callback(key, supply)
    if isinstance(face, TokenFace):
        return ENDPOINT.desk(key, lambda capability: TokenDesk(capability, supply, resolver.clock, kept=face.kept))
    if isinstance(face, StsFace) and sessions:
        return SESSIONS.route(key, lambda: supply)
    if isinstance(face, StsFace):
        upstream = face.upstream
        return ENDPOINT.desk(key, lambda capability: StsDesk(capability, supply, network, upstream=upstream))

    def make() -> Face:
        if isinstance(face, BearerFace):
            return BearerOrigin(face.upstream, supply, network, header=face.header, prefix=face.prefix)
        assert isinstance(face, SigningFace)
        return SigningOrigin(face.upstream, supply, network, service=face.service, region=face.region)

    return ENDPOINT.route(key, make)
