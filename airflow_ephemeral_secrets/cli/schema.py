"""``airflow-ephemeral schema``: the JSON Schema of the configuration file, for editors."""

from __future__ import annotations

import argparse
import json

from airflow_ephemeral_secrets.schema import json_schema

HELP = "print the JSON Schema of the configuration file, for editors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0
