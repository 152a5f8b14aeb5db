"""Which configuration and recipe a verb works with, and on whose behalf."""

from __future__ import annotations

import argparse
import os

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import AccessDenied, ConfigError
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.resolver import Resolver

UNSET = "Airflow's settings name no EphemeralSecretsBackend; give --config FILE"


def installation(args: argparse.Namespace) -> Installation:
    """
    Open the configuration named by ``--config``, else the one a worker would use.

    :raises ConfigError: when there is none, or it cannot be used
    """
    if args.config:
        found = Installation({"config_file": os.path.abspath(args.config)}, _airflow.home(), lambda: None)
    else:
        setting = _airflow.worker_setting()
        if setting is None or not setting.ours:
            raise ConfigError("Airflow's settings", [UNSET])
        found = Installation(setting.kwargs, _airflow.home(), _airflow.remote_log_conn_id)
    if found.error:
        raise found.error
    return found


def recipe(resolver: Resolver, conn_id: str) -> Recipe:
    """
    Find the recipe that owns a conn_id.

    :raises AccessDenied: when none does
    """
    found = resolver.config.connections.match(conn_id)
    if found is None:
        raise AccessDenied(f"no recipe owns {conn_id!r}", code="not_owned", hint="airflow-ephemeral explain")
    return found


def add_caller_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say on whose behalf to ask."""
    for name in ("dag-id", "task-id", "run-id", "team"):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"ask as a task with this {name.replace('-', ' ')}")


def caller(args: argparse.Namespace) -> Caller:
    """Describe the caller: a task by those options, else the task that started this program, else a script."""
    told = {name: getattr(args, name) for name in ("dag_id", "task_id", "run_id", "team")}
    return Caller(process="task", **told) if any(told.values()) else _task_of_environment()


def _task_of_environment() -> Caller:
    """Find out which task started this program, by ``AIRFLOW_CTX_*``; a script where none did."""

    def told(name: str) -> str | None:
        return os.environ.get(f"AIRFLOW_CTX_{name}") or None

    def number(name: str) -> int | None:
        text = told(name) or ""
        return int(text) if text.isdecimal() else None

    return Caller(
        process="task" if told("TASK_ID") else "script",
        dag_id=told("DAG_ID"),
        task_id=told("TASK_ID"),
        run_id=told("DAG_RUN_ID"),
        try_number=number("TRY_NUMBER"),
        map_index=number("MAP_INDEX"),
        team=told("TEAM_NAME"),
    )
