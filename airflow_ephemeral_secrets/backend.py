"""Airflow's door: who is calling, what the resolver says, and errors that stop Airflow from asking anyone else."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets._telemetry import AirflowTelemetry
from airflow_ephemeral_secrets.errors import EphemeralSecretsError, MintError, SourceFailed
from airflow_ephemeral_secrets.installation import Installation, installation
from airflow_ephemeral_secrets.masking import Masker, Masks
from airflow_ephemeral_secrets.resolver import Value
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec

T = TypeVar("T")

log = logging.getLogger(__name__)
_masker = Masker(_airflow.mask, _airflow.unmask)
_told: set[tuple[int, str]] = set()


def _mask_aside(masks: Masks) -> None:
    """Mask what a live connection uses and no lookup shows."""
    _masker.mask(masks, _airflow.mask_aside)


class CredentialNotGranted(AirflowSecretsBackendAccessDenied):
    """
    Say why a connection or variable that we own has no credential; Airflow asks no other backend after this.

    :param code: the provider's error code, or a stable word of ours
    :param may_pass: whether the source failed in a way that may pass
    :param retry_after: seconds that its provider asked us to wait
    """

    def __init__(self, message: str, code: str, *, may_pass: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.may_pass = may_pass
        self.retry_after = retry_after


class EphemeralSecretsBackend(BaseSecretsBackend):
    """
    Resolve conn_ids and variables into short-lived credentials.

    The constructor never raises: a configuration that cannot be used is logged once, and every lookup of a name it
    owns is refused with its problems until it is mended.

    :param config_file: path of the configuration, relative to ``$AIRFLOW_HOME``
    :param config: the configuration inline, instead
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self._installation = installation(
            kwargs, _airflow.home(), _airflow.remote_log_conn_id, AirflowTelemetry(), _mask_aside
        )
        with suppress(Exception):
            _airflow.mask_component_log()
        if self._installation.error:
            _tell_once(self._installation)

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        """
        Give a connection as JSON.

        :return: None when no recipe owns it
        :raises CredentialNotGranted: when one does and there is no credential for this caller
        """
        spec = self._connection(conn_id, team_name)
        return None if spec is None else json.dumps({k: v for k, v in spec.fields().items() if v is not None})

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Any:
        """
        Give a connection.

        :return: None when no recipe owns it
        :raises CredentialNotGranted: when one does and there is no credential for this caller
        """
        spec = self._connection(conn_id, team_name)
        return None if spec is None else self._get_connection_class()(conn_id=conn_id, **spec.fields())

    async def aget_connection(self, conn_id: str, team_name: str | None = None) -> Any:
        """Give a connection without blocking the event loop."""
        spec = await asyncio.to_thread(self._resolve_connection, conn_id, team_name)
        if spec is None:
            return None
        if not _masker.known(spec.secrets, spec.until) and (refusal := await _amask(conn_id, spec.masks())):
            raise refusal
        return self._get_connection_class()(conn_id=conn_id, **spec.fields())

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        """
        Give a variable's value.

        :return: None when no recipe owns it
        :raises CredentialNotGranted: when one does and there is no credential for this caller
        """
        value = self._resolve_variable(key, team_name)
        if value is None:
            return None
        _closed(f"variable {key!r}", lambda: _masker.mask(value.masks))
        return value.text

    def _connection(self, conn_id: str, team_name: str | None) -> ConnectionSpec | None:
        spec = self._resolve_connection(conn_id, team_name)
        if spec is not None and not _masker.known(spec.secrets, spec.until):
            _closed(f"connection {conn_id!r}", lambda: _masker.mask(spec.masks()))
        return spec

    def _resolve_connection(self, conn_id: str, team_name: str | None) -> ConnectionSpec | None:
        if not self._installation.owns_connection(conn_id):
            return None
        return _closed(
            f"connection {conn_id!r}",
            lambda: self._installation.resolver().connection(conn_id, _airflow.caller(team_name)),
        )

    def _resolve_variable(self, key: str, team_name: str | None) -> Value | None:
        if not self._installation.owns_variable(key):
            return None
        return _closed(
            f"variable {key!r}",
            lambda: self._installation.resolver().variable(key, _airflow.caller(team_name)),
        )


def _closed(what: str, resolve: Callable[[], T]) -> T:
    """
    Resolve, or fail closed.

    The error is raised outside of the handler, so that nothing of the original travels with it.
    """
    try:
        return resolve()
    except EphemeralSecretsError as error:
        of = f" by source {error.source!r}" if isinstance(error, MintError) and error.source else ""
        refusal = CredentialNotGranted(
            f"{what} is not granted{of}: {error}",
            error.code,
            may_pass=isinstance(error, SourceFailed),
            retry_after=error.retry_after if isinstance(error, MintError) else None,
        )
    except Exception as error:
        refusal = _bug(what, error)
    raise refusal


async def _amask(conn_id: str, masks: Masks) -> CredentialNotGranted | None:
    """Mask from an event loop; a connection whose secrets cannot be masked is not handed out."""
    try:
        await _airflow.amask(masks)
        _masker.remember(masks)
    except Exception as error:
        return _bug(f"connection {conn_id!r}", error)
    return None


def _bug(what: str, error: Exception) -> CredentialNotGranted:
    """Say where an error of ours was, and nothing of its text."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    told = f"{type(error).__name__} at {os.path.basename(place.filename)}:{place.lineno}"
    return CredentialNotGranted(f"{what} is not granted: an error of ours, {told}; please report it", "internal")


def _tell_once(broken: Installation) -> None:
    """Log a configuration that cannot be used, once per process."""
    message = str(broken.error)
    if (os.getpid(), message) not in _told:
        _told.add((os.getpid(), message))
        log.error("%s", message)
