"""The command line reference, told by the parser itself."""

from __future__ import annotations

import argparse

from airflow_ephemeral_secrets.cli import main

WIDTH = 96


def verbs() -> str:
    """Describe every verb: a heading and its own help."""
    return "\n".join(f"### {name}\n\n```text\n{_help(name)}```\n" for name in main.VERBS)


def _help(name: str) -> str:
    parser = argparse.ArgumentParser(
        prog=f"airflow-ephemeral {name}",
        description=main.verb(name).HELP,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=WIDTH),
    )
    main.add_arguments(name, parser)
    return parser.format_help()
