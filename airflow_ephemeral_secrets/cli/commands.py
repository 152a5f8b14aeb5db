"""The same verbs under ``airflow ephemeral``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

from airflow_ephemeral_secrets.cli import main


class _Arguments(Arg):
    """All arguments of a verb, where Airflow expects one."""

    def __init__(self, name: str) -> None:
        super().__init__(("--json",))
        self._name = name

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        main.add_arguments(self._name, parser)


def get_cli_commands() -> list[GroupCommand]:
    """Give Airflow the group ``ephemeral``."""
    return [
        GroupCommand(
            name="ephemeral",
            help="Ephemeral credentials",
            subcommands=[
                ActionCommand(name=name, help=main.verb(name).HELP, func=_action(name), args=(_Arguments(name),))
                for name in main.VERBS
            ],
        )
    ]


def _action(name: str) -> Callable[[argparse.Namespace], None]:
    return lambda args: sys.exit(main.run(name, args))
