"""Which configuration and recipe a verb works with, and on whose behalf."""

from __future__ import annotations

import argparse
import os

from airflow_ephemeral_secrets import _airflow, _settings
from airflow_ephemeral_secrets.caller import TOLD, Caller, run_type
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
        setting = _settings.worker()
        if setting is None or not setting.ours:
            named = f"they name {setting.path}" if setting else "they name no backend"
            raise ConfigError("Airflow's settings", [f"{UNSET}; {named}"])
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
    for name in TOLD:
        words = name.replace("_", " ")
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="NAME", help=f"ask as a task with this {words}")


def caller(args: argparse.Namespace) -> Caller:
    """Describe the caller: a task by those options, else the task that started this program, else a script."""
    told = {name: getattr(args, name) for name in TOLD}
    if not any(told.values()):
        return _task_of_environment()
    told["run_type"] = told["run_type"] or run_type(args.run_id)
    return Caller(process="task", **told)


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
        run_type=run_type(told("DAG_RUN_ID")),
        owner=told("DAG_OWNER"),
    )
