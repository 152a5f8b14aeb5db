"""The function that librdkafka calls for a token of OAUTHBEARER, where ``callback_allowlist`` names it; no port."""

from __future__ import annotations

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.live.sessions import SESSIONS


def token(config: str) -> tuple[str, float]:
    """
    Give a token and the moment of its end, in epoch seconds.

    It is the ``oauth_cb`` of a connection that the shape ``kafka`` has made with ``live: oauth_cb``.

    :param config: ``sasl.oauthbearer.config`` of the connection, ``lease=`` and a capability of this process
    :raises EphemeralSecretsError: when there is none
    """
    supply = SESSIONS.supply(config.removeprefix("lease="))
    if supply is None:
        raise AccessDenied("the connection is of another process", code="not_live_here", hint="asking for it here")
    lease = supply.lease()
    assert isinstance(lease.credential, BearerToken)
    return lease.credential.token, lease.expires_at
