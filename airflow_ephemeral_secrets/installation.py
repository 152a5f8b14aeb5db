"""
One configuration as a process holds it, however many backend objects Airflow builds.

It is found by the backend's kwargs, dropped in a forked child except for the configuration itself, and read again
when its file has changed: at the first lookup after a fork, and at any lookup while the configuration is broken.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from random import SystemRandom
from typing import Any

import msgspec

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.audit_file import AuditFile
from airflow_ephemeral_secrets.audit_outlet import Sink
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import SystemClock
from airflow_ephemeral_secrets.config import EVERYTHING, INLINE, Config, Owned, from_document, owned
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.host import HostStore, open_host
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.policy import Policy
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver, no_route
from airflow_ephemeral_secrets.settings import AuditSettings
from airflow_ephemeral_secrets.shapes.live import LiveFace, Route, StsFace
from airflow_ephemeral_secrets.telemetry import SILENT, Telemetry

KWARGS = ("config_file", "config")
SESSION_FACTORY = "airflow_ephemeral_secrets.aws_session.SessionFactory"
NO_KWARGS = "no kwargs arrived: backend_kwargs is missing or is not JSON; give config_file or config"


class Installation:
    """
    Load a configuration and hold what works by it.

    :param kwargs: of the backend
    :param home: ``AIRFLOW_HOME``: relative paths start there, and its leases are its own
    :param remote_log_conn_id: finds the connection of remote logging
    :param telemetry: counts and traces
    :param mask: hides what live connections use, in a thread that nobody waits for
    """

    def __init__(
        self,
        kwargs: Mapping[str, Any],
        home: str,
        remote_log_conn_id: Callable[[], str | None],
        telemetry: Telemetry = SILENT,
        mask: Callable[[Masks], None] = lambda _: None,
    ) -> None:
        self._kwargs = kwargs
        self._home = home
        self._remote_log_conn_id = remote_log_conn_id
        self._telemetry = telemetry
        self._mask = mask
        self._mutex = threading.RLock()
        self._resolver: Resolver | None = None
        self._trusted = False
        path = kwargs.get("config_file")
        self.path = os.path.join(home, path) if isinstance(path, str) and path else None
        self._load()

    @property
    def error(self) -> ConfigError | None:
        """Why the configuration cannot be used, or None."""
        self._current()
        return self._error

    def owns_connection(self, conn_id: str) -> bool:
        """Say whether a conn_id is ours, by the configuration alone."""
        return self._current().connections.match(conn_id) is not None

    def owns_variable(self, key: str) -> bool:
        """Say whether a variable is ours, by the configuration alone."""
        return self._current().variables.match(key) is not None

    def resolver(self, *, shared: bool = True) -> Resolver:
        """
        Give what resolves by this configuration.

        :param shared: False for one that is used once and keeps its leases to itself
        :raises ConfigError: when it cannot be used
        """
        with self._mutex:
            self._current()
            if self._config is None:
                assert self._error
                raise self._error
            if not shared:
                return self._build(self._config, shared=False)
            if self._resolver is None:
                self._resolver = self._build(self._config, shared=True)
            return self._resolver

    @property
    def resolving(self) -> Resolver | None:
        """What has resolved something in this process, if anything has."""
        return self._resolver

    def forked(self) -> None:
        """Start anew in a forked child, keeping the parsed configuration."""
        self._mutex = threading.RLock()
        if self._resolver:
            self._resolver.close()
        self._resolver = None
        self._trusted = False

    def _current(self) -> Config | Owned:
        if not self._trusted:
            with self._mutex:
                if self.path and self._signature != _signature(self.path):
                    self._load()
                self._trusted = self._error is None
        return self._config or self._owned

    def _load(self) -> None:
        self._signature = _signature(self.path) if self.path else None
        self._config: Config | None = None
        self._error: ConfigError | None = None
        self._owned = EVERYTHING
        if self._resolver:
            self._resolver.close()
        self._resolver = None
        where, problems = self.path or INLINE, _kwarg_problems(self._kwargs)
        try:
            raw = self._document()
            if not all(self._kwargs.get(name) for name in KWARGS):
                self._owned = owned(raw)
            self._config = from_document(raw, where)
        except ConfigError as error:
            problems += error.problems
        if problems:
            self._config, self._error = None, ConfigError(where, problems)

    def _document(self) -> Any:
        if self.path:
            return document.read(self.path)
        inline = self._kwargs.get("config")
        if inline is None:
            raise ConfigError(INLINE, [NO_KWARGS])
        try:
            return document.parse(inline) if isinstance(inline, str) else inline
        except document.Unreadable as error:
            raise ConfigError(INLINE, [f"config: {error}"]) from None

    def open_store(self) -> HostStore | None:
        """
        Open the host store of this installation.

        :return: None where it is off, or the configuration cannot be used
        :raises StoreError: when no place for it is safe
        """
        if self._config is None:
            return None
        return open_host(self._config.store.host, os.environ, sha256(self._home.encode()).hexdigest()[:16])

    def _build(self, config: Config, *, shared: bool) -> Resolver:
        clock = SystemClock()
        return Resolver(
            config,
            Policy(
                parse_mint=config.parse.mint,
                deny_unknown_caller=config.policy.deny_unknown_caller,
                require_team=config.policy.require_team,
                remote_log_conn_id=self._remote_log_conn_id(),
            ),
            LeaseCache(clock, SystemRandom(), self.open_store if shared else lambda: None),
            Audit(clock, lambda: _open_sinks(config.audit), self._telemetry),
            clock,
            _open_route if shared else no_route,
            self._mask,
        )


def _open_sinks(settings: AuditSettings) -> list[Sink]:
    """Open what audit lines go to; what it takes is loaded where it is configured, and nowhere else."""
    sinks: list[Sink] = [AuditFile(settings.file)] if settings.file else []
    if settings.syslog or settings.otel:
        from airflow_ephemeral_secrets.audit_export import OpenTelemetry, Syslog

        sinks += [Syslog(settings.syslog.address, settings.syslog.facility)] if settings.syslog else []
        sinks += [OpenTelemetry()] if settings.otel else []
    return sinks


def _open_route(resolver: Resolver, recipe: Recipe, name: str, caller: Caller, face: LiveFace) -> Route:
    """Open a route; what it takes is loaded where a recipe is live, and nowhere else."""
    from airflow_ephemeral_secrets import _settings
    from airflow_ephemeral_secrets.live.routes import open_route

    sessions = isinstance(face, StsFace) and _settings.option("aws", "session_factory") == SESSION_FACTORY
    return open_route(resolver, recipe, name, caller, face, sessions=sessions)


_installations: dict[bytes, Installation] = {}
_mutex = threading.Lock()


def installation(
    kwargs: Mapping[str, Any],
    home: str,
    remote_log_conn_id: Callable[[], str | None],
    telemetry: Telemetry = SILENT,
    mask: Callable[[Masks], None] = lambda _: None,
) -> Installation:
    """
    Find what this process holds for some kwargs, or load it.

    :param kwargs: of the backend
    """
    key = msgspec.json.encode([home, kwargs], order="deterministic", enc_hook=repr) if kwargs else home.encode()
    with _mutex:
        if key not in _installations:
            _installations[key] = Installation(kwargs, home, remote_log_conn_id, telemetry, mask)
        return _installations[key]


def resolvers() -> list[Resolver]:
    """List what has resolved something in this process."""
    with _mutex:
        return [known.resolving for known in _installations.values() if known.resolving]


def _forked() -> None:
    global _mutex  # noqa: PLW0603  # the parent may have held the old one while it forked
    _mutex = threading.Lock()
    for known in _installations.values():
        known.forked()


os.register_at_fork(after_in_child=_forked)


def _kwarg_problems(kwargs: Mapping[str, Any]) -> list[str]:
    found = [f"{name}: unknown kwarg; known: config, config_file" for name in sorted(kwargs) if name not in KWARGS]
    if all(kwargs.get(name) for name in KWARGS):
        found.append("config: either config or config_file, not both")
    path = kwargs.get("config_file")
    if path is not None and (not isinstance(path, str) or not path):
        found.append("config_file: expected a path")
    return found


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
