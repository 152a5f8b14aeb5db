"""The command by which a client of another process fetches what a lookup has leased."""

from __future__ import annotations

import os
import sys

from airflow_ephemeral_secrets.caller import TOLD, Caller
from airflow_ephemeral_secrets.config import INLINE

PROGRAM = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from airflow_ephemeral_secrets.cli.main import main; sys.exit(main())"
)
"""Clients start it in folders that anyone may write to, from which nothing is to be imported."""


def command(verb: str, name: str, caller: Caller, where: str) -> tuple[str, ...]:
    """
    Write a command that asks again for the same caller, and so finds the same lease in the host store.

    :param verb: of the command line
    :param name: the conn_id of the lookup
    :param where: the configuration file; with an inline one the command finds it in Airflow's settings
    """
    config = [] if where == INLINE else ["--config", os.path.abspath(where)]
    facts = [f"--{fact.replace('_', '-')}={value}" for fact in TOLD if (value := getattr(caller, fact))]
    return (sys.executable, "-c", PROGRAM, verb, *config, *facts, "--", name)
