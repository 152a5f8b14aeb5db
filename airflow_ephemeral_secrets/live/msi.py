"""
A managed identity for the stock hooks of Azure: App Service's protocol, spoken by this process.

Azure's default credential finds it by two variables of the environment, one pair for all of a process; each connection
has a client id of its own, which is its capability. Whoever asks without one of them gets what this worker's own
managed identity gives, as before.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from cachetools import LRUCache

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import AccessDenied, EphemeralSecretsError, SourceFailed
from airflow_ephemeral_secrets.leases.lease import Lease
from airflow_ephemeral_secrets.live.endpoint import ENDPOINT
from airflow_ephemeral_secrets.live.face import Answered, Asked
from airflow_ephemeral_secrets.live.supply import Supply
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.live import ManagedIdentityFace, Route
from airflow_ephemeral_secrets.sources import azure_identity
from airflow_ephemeral_secrets.sources.azure import DEFAULT, Azure
from airflow_ephemeral_secrets.sources.azure_identity import Worker
from airflow_ephemeral_secrets.sources.surroundings import SURROUNDINGS

HEADER = "x-identity-header"
NAMES = ("mi_res_id", "object_id", "principal_id")
"""Parameters, besides the client id, by which code of a task may ask for one of several identities of this worker."""
MOST = 4096
"""Identities that are known at once; the one that was used least recently goes, until it is looked up again."""
ONLY = "ManagedIdentityCredential"
FIRST = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_PASSWORD")
"""Variables by which the default credential finds another identity before it asks for a managed one."""


class Identity:
    """
    Who a client id stands for.

    :param name: the conn_id of the lookup
    :param caller: who made it
    :param supply: gives leases by a recipe, for that caller
    """

    def __init__(
        self,
        recipe: Recipe,
        name: str,
        caller: Caller,
        face: ManagedIdentityFace,
        supply: Callable[[Recipe], Supply],
    ) -> None:
        facts = recipe.facts(caller)
        own = [facts["scope"].removesuffix(DEFAULT)] if isinstance(recipe.source, Azure) else []
        self.key = (name, caller, recipe.lease_key(caller, facts))
        self._recipe = recipe
        self._name = name
        self._resources = frozenset(resource.rstrip("/") for resource in (*own, *face.resources))
        self._supply = supply
        self._supplies: dict[str, Supply] = {}

    def lease(self, resource: str) -> Lease:
        """
        Give the lease of a living token for an API.

        :raises AccessDenied: when the recipe is not for that API
        :raises EphemeralSecretsError: when there is no token
        """
        if resource.rstrip("/") not in self._resources:
            raise AccessDenied(
                f"connection {self._name!r} is not for tokens for {_shown(resource)}",
                code="resource_not_allowed",
                hint=f"adding it to resources of {self._recipe.pattern}",
            )
        known = f"{resource.rstrip('/')}/" if resource.endswith("/") else resource
        if known not in self._supplies:
            self._supplies[known] = self._supply(self._recipe_for(known))
        return self._supplies[known].lease()

    def _recipe_for(self, resource: str) -> Recipe:
        source = self._recipe.source
        if not isinstance(source, Azure):
            return self._recipe
        return msgspec.structs.replace(
            self._recipe, source=msgspec.structs.replace(source, scope=f"{resource}{DEFAULT}")
        )


class Desk:
    """
    Give tokens to whoever has the header and a client id, and this worker's own to whoever has the header alone.

    :param header: what ``X-IDENTITY-HEADER`` must hold
    :param resolver: knows the network, for what this worker's own identity is asked
    """

    def __init__(self, header: str, resolver: Resolver) -> None:
        self._header = header
        self._resolver = resolver
        self._key = secrets.token_bytes(32)
        self._mutex = Lock()
        self._identities: LRUCache[str, Identity] = LRUCache(MOST)

    def admit(self, resolver: Resolver, identity: Identity) -> str:
        """Give a client id to an identity; whoever asks for the same thing again gets the same client id."""
        told = repr((id(resolver), *identity.key)).encode()
        client_id = hmac.new(self._key, told, "sha256").hexdigest()[:32]
        with self._mutex:
            self._identities.setdefault(client_id, identity)
        return client_id

    def answer(self, asked: Asked) -> Answered:
        """Answer one request for a token."""
        given = next((value for name, value in asked.headers if name.lower() == HEADER), "")
        if not hmac.compare_digest(given.encode(), self._header.encode()):
            return _refused(401, "X-IDENTITY-HEADER is missing or wrong")
        query = {name: values[0] for name, values in parse_qs(urlsplit(asked.target).query).items()}
        resource, client_id = query.get("resource", ""), query.get("client_id")
        try:
            with self._mutex:
                identity = self._identities.get(client_id or "")
            also = {name: query[name] for name in NAMES if name in query}
            token, until = self._leased(identity.lease(resource)) if identity else self._own(resource, client_id, also)
        except EphemeralSecretsError as error:
            return _refused(502 if isinstance(error, SourceFailed) else 403, f"airflow-ephemeral-secrets: {error}")
        told = {"access_token": token, "expires_on": str(int(until)), "resource": resource, "token_type": "Bearer"}
        return _answered(200, {**told, **({"client_id": client_id} if client_id else {})})

    def _leased(self, lease: Lease) -> tuple[str, float]:
        """Tell an end a little before the true one: a client keeps a token to the last second that it is told."""
        (token,) = lease.credential.secrets()
        early = lease.issued_wall + lease.mandatory
        return token, early if early > self._resolver.clock.now().wall else lease.expires_at

    def _own(self, resource: str, client_id: str | None, also: Mapping[str, str]) -> tuple[str, float]:
        """Ask this worker's own managed identity, of which nobody is any the nearer who can ask here."""
        now = self._resolver.clock.now()
        worker = Worker(self._resolver.config.network, self._resolver.deadline())
        bearer = azure_identity.managed(worker, client_id, also).token(resource + DEFAULT, now)
        return bearer.token, bearer.expires_at or now.wall


def open_identity(resolver: Resolver, identity: Identity) -> Route:
    """
    Let hooks find this process as their managed identity, under a client id of their own.

    :return: the client id as its capability, beside the header
    :raises AccessDenied: where a hook would find another identity before, or this worker's own could not be found after
    """
    _require_room()
    route = ENDPOINT.desk(Desk, lambda header: Desk(header, resolver), stays=True)
    desk = ENDPOINT.desk_at(urlsplit(route.url).path)
    assert isinstance(desk, Desk)
    SURROUNDINGS.lead(IDENTITY_ENDPOINT=route.url, IDENTITY_HEADER=route.capability)
    return Route(route.url, desk.admit(resolver, identity), (route.capability,))


def _require_room() -> None:
    """Refuse where the default credential does not come to ask here, or the place of this worker's own identity."""
    only = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    first = [name for name in FIRST if os.environ.get(name)]
    if only in ("", "prod"):
        other = first[0] if first else None
    else:
        other = None if only == ONLY.lower() else "AZURE_TOKEN_CREDENTIALS"
    if other:
        raise AccessDenied(
            f"its hook would take the identity that {other} names",
            code="not_live_here",
            hint=f"AZURE_TOKEN_CREDENTIALS={ONLY} in the environment of this worker",
        )
    place = azure_identity.place()
    if place not in ("App Service", "IMDS", "workload identity"):
        raise AccessDenied(
            f"it is live, for which this worker's own identity ({place}) would have to yield",
            code="not_live_here",
            hint="live: false",
        )


def _refused(status: int, why: str) -> Answered:
    return _answered(status, {"statusCode": status, "message": why})


def _answered(status: int, members: Mapping[str, Any]) -> Answered:
    body = json.dumps(members).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Answered(status, headers, iter([body]))


def _shown(resource: str) -> str:
    return resource[:200] if resource.isprintable() and resource else "no resource"
