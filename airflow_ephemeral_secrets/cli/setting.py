"""Which configuration a verb works with, and on whose behalf."""

from __future__ import annotations

import argparse
import os

from airflow_ephemeral_secrets import _airflow, _settings
from airflow_ephemeral_secrets.caller import Caller, run_type
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.installation import Installation

FACTS = ("dag_id", "task_id", "run_id", "team", "run_type", "owner")
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


def add_caller_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say on whose behalf to ask."""
    for name in FACTS:
        words = name.replace("_", " ")
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="NAME", help=f"ask as a task with this {words}")


def caller(args: argparse.Namespace) -> Caller:
    """Describe the caller by those options: a task where any fact is given, else a script."""
    told = {name: getattr(args, name) for name in FACTS}
    told["run_type"] = told["run_type"] or run_type(args.run_id)
    return Caller(process="task" if any(told.values()) else "script", **told)
