"""Routes to what live shapes ask for, in this process."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.live import kafka
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT, Face
from airflow_ephemeral_secrets.live.origin import BearerOrigin, SigningOrigin
from airflow_ephemeral_secrets.live.supply import ShownSupply, Supply
from airflow_ephemeral_secrets.live.token_desk import TokenDesk
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import BearerFace, CallbackFace, LiveFace, Route, SigningFace, TokenFace


def open_route(
    resolver: Resolver,
    recipe: Recipe,
    name: str,
    caller: Caller,
    face: LiveFace,
    mask: Callable[[Masks], None] = lambda _: None,
) -> Route:
    """
    Open a route, or give the one that is open for the same request.

    :param name: the conn_id of the lookup
    :param mask: keeps out of logs what a hook gets to see
    :raises AccessDenied: in a process that parses Dags, and ends before any task could use it
    """
    if caller.process == "parse":
        raise AccessDenied(
            "it is live, and a process that parses Dags does not last", code="not_live_here", hint="asking in the task"
        )
    key = (resolver, name, recipe.lease_key(caller, recipe.facts(caller)))
    shown = ShownSupply(resolver, recipe, name, caller, mask)
    if isinstance(face, CallbackFace):
        return kafka.open_callback(key, shown)
    if isinstance(face, TokenFace):
        return ENDPOINT.desk(key, lambda capability: TokenDesk(face, capability, shown, resolver.clock))
    supply = Supply(resolver, recipe, name, caller)
    network = resolver.config.network

    def make() -> Face:
        if isinstance(face, BearerFace):
            return BearerOrigin(face.upstream, supply, network, header=face.header, prefix=face.prefix)
        assert isinstance(face, SigningFace)
        return SigningOrigin(face.upstream, supply, network, service=face.service, region=face.region)

    return ENDPOINT.route(key, make)
