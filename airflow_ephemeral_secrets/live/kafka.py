"""The function that librdkafka calls for a token of OAUTHBEARER, where ``callback_allowlist`` names it; no port."""

from __future__ import annotations

import secrets

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.live.origin import Supplying
from airflow_ephemeral_secrets.shapes.live import Route

_routes: dict[object, Route] = {}
_supplies: dict[str, Supplying] = {}


def open_callback(key: object, supply: Supplying) -> Route:
    """
    Let :func:`token` give the tokens of a supply to whoever has its capability.

    :param key: whoever asks for the same thing again gets the same route, and so the same connection
    """
    route = _routes.setdefault(key, Route("", secrets.token_urlsafe(32)))
    _supplies.setdefault(route.capability, supply)
    return route


def token(config: str) -> tuple[str, float]:
    """
    Give a token and the moment of its end, in epoch seconds.

    It is the ``oauth_cb`` of a connection that the shape ``kafka`` has made with ``live: oauth_cb``.

    :param config: ``sasl.oauthbearer.config`` of the connection, ``lease=`` and a capability of this process
    :raises EphemeralSecretsError: when there is none
    """
    supply = _supplies.get(config.removeprefix("lease="))
    if supply is None:
        raise AccessDenied("the connection is of another process", code="not_live_here", hint="asking for it here")
    lease = supply.lease()
    assert isinstance(lease.credential, BearerToken)
    return lease.credential.token, lease.expires_at
