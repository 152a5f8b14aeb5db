"""For ``[aws] session_factory``: sessions of the amazon provider that get their keys from the lease, by no port."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.live.origin import Supplying
from airflow_ephemeral_secrets.live.sessions import SESSIONS
from airflow_ephemeral_secrets.shapes.live import STS_LOGIN

METHOD = "airflow-ephemeral-secrets"
ADVISORY, MANDATORY = 300, 60
"""Seconds before the end from which keys are asked for anew; the lease is renewed earlier than that."""


class SessionFactory(BaseSessionFactory):
    """Make sessions whose keys are refreshed from the lease, for live connections of ours; all others as usual."""

    def create_session(self, deferrable: bool = False) -> Any:
        """Create a session of boto3, or of aiobotocore if ``deferrable``."""
        ours = self.conn and self.conn.login == STS_LOGIN
        supply = SESSIONS.supply(self.conn.password) if ours else None
        if supply is None:
            return super().create_session(deferrable=deferrable)
        return self._asynchronous(supply) if deferrable else self._synchronous(supply)

    def _synchronous(self, supply: Supplying) -> Any:
        import boto3
        from botocore.credentials import RefreshableCredentials
        from botocore.session import get_session

        session = get_session()
        session._credentials = RefreshableCredentials.create_from_metadata(
            _keys(supply), lambda: _keys(supply), METHOD, ADVISORY, MANDATORY
        )
        return boto3.session.Session(botocore_session=session, region_name=self.region_name)

    def _asynchronous(self, supply: Supplying) -> Any:
        """Make one that leaves the event loop free while it asks."""
        from aiobotocore.credentials import AioRefreshableCredentials

        session = self.get_async_session()
        session._credentials = AioRefreshableCredentials.create_from_metadata(
            _keys(supply), lambda: asyncio.to_thread(_keys, supply), METHOD, ADVISORY, MANDATORY
        )
        if self.region_name:
            session.set_config_variable("region", self.region_name)
        return session


def _keys(supply: Supplying) -> dict[str, str | None]:
    """
    Take the keys of the moment.

    :raises EphemeralSecretsError: when there are none
    """
    lease = supply.lease()
    assert isinstance(lease.credential, AwsCredential)
    return {
        "access_key": lease.credential.access_key_id,
        "secret_key": lease.credential.secret_access_key,
        "token": lease.credential.session_token,
        "expiry_time": datetime.fromtimestamp(lease.expires_at, timezone.utc).isoformat(),
    }
