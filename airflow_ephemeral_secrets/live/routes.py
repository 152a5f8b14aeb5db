"""Routes to what live shapes ask for, in this process."""

from __future__ import annotations

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT, Face
from airflow_ephemeral_secrets.live.origin import BearerOrigin, SigningOrigin
from airflow_ephemeral_secrets.live.supply import Supply
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import BearerFace, LiveFace, Route, SigningFace


def open_route(resolver: Resolver, recipe: Recipe, name: str, caller: Caller, face: LiveFace) -> Route:
    """
    Open a route, or give the one that is open for the same request.

    :param name: the conn_id of the lookup
    """
    key = (resolver, name, recipe.lease_key(caller, recipe.facts(caller)))
    supply = Supply(resolver, recipe, name, caller)
    network = resolver.config.network

    def make() -> Face:
        if isinstance(face, BearerFace):
            return BearerOrigin(face.upstream, supply, network, header=face.header, prefix=face.prefix)
        assert isinstance(face, SigningFace)
        return SigningOrigin(face.upstream, supply, network, service=face.service, region=face.region)

    return ENDPOINT.route(key, make)
