"""``airflow-ephemeral explain CONN_ID``: the steps of a lookup and their reasons; nothing is minted."""

from __future__ import annotations

import argparse
import json

from airflow_ephemeral_secrets import _settings
from airflow_ephemeral_secrets.cli import setting
from airflow_ephemeral_secrets.cli.table import render
from airflow_ephemeral_secrets.resolver import Step

HELP = "say what a lookup would do for a caller, step by step, without minting"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the conn_id and the caller."""
    parser.add_argument("conn_id", metavar="CONN_ID")
    setting.add_caller_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Explain; 1 if the lookup would not be granted."""
    resolver = setting.installation(args).resolver()
    steps = resolver.explain(args.conn_id, setting.caller(args))
    granted = all(step.passed for step in steps)
    owned = len(steps) > 1
    who = _settings.next_answer(args.conn_id)
    steps.append(Step("airflow", True, f"asks nobody else; without this recipe: {who}" if owned else f"asks {who}"))
    if args.json:
        print(json.dumps({"conn_id": args.conn_id, "granted": granted, "steps": [step._asdict() for step in steps]}))
    else:
        print(render(("step", "", "why"), [(step.name, "ok" if step.passed else "no", step.reason) for step in steps]))
    return 0 if granted else 1
