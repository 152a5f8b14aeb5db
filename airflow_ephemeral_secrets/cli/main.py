"""``airflow-ephemeral VERB``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from airflow_ephemeral_secrets import __version__
from airflow_ephemeral_secrets.errors import ConfigError, EphemeralSecretsError

VERBS = (
    *("audit", "credential-process", "demo", "doctor", "exec-credential", "explain", "flush", "leases", "mint"),
    "schema",
)
PROBLEM, WRONG_USE = 1, 2


def verb(name: str) -> ModuleType:
    """Load the module of a verb: ``HELP``, ``add_arguments(parser)`` and ``run(args)``."""
    return import_module(f"airflow_ephemeral_secrets.cli.{name.replace('-', '_')}")


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """Declare what a verb takes, and what all take."""
    parser.add_argument("--config", metavar="FILE", help="the configuration (default: the one in Airflow's settings)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    verb(name).add_arguments(parser)


def run(name: str, args: argparse.Namespace) -> int:
    """
    Run a verb.

    The audit's logger is kept quiet: Airflow would print its lines among ours.

    :return: 0 all well, 1 a problem was found, 2 wrong usage or configuration
    """
    audit = logging.getLogger("airflow_ephemeral_secrets.audit")
    before, audit.propagate = audit.propagate, False
    try:
        return int(verb(name).run(args))
    except ConfigError as error:
        print(f"{error.where}:", *error.problems, sep="\n  ", file=sys.stderr)
        return WRONG_USE
    except EphemeralSecretsError as error:
        print(error, file=sys.stderr)
        return PROBLEM
    except BrokenPipeError:
        sys.stderr.close()
        return PROBLEM
    finally:
        audit.propagate = before


def parser(names: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """
    Make the parser.

    :param names: of the verbs, whose modules it loads
    """
    made = argparse.ArgumentParser(prog="airflow-ephemeral", description="Ephemeral credentials for Airflow.")
    made.add_argument("--version", action="version", version=__version__)
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in names:
        add_arguments(name, verbs.add_parser(name, help=verb(name).HELP, description=verb(name).HELP))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the console script.

    :param argv: the arguments, those of the process if None
    """
    given = sys.argv[1:] if argv is None else list(argv)
    args = parser(given[:1] if given[:1] and given[0] in VERBS else VERBS).parse_args(given)
    return run(args.verb, args)


if __name__ == "__main__":
    sys.exit(main())
