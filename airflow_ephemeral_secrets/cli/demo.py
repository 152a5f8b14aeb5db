"""``airflow-ephemeral demo``: see it work and prove it, without any cloud account."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_ephemeral_secrets.cli.table import render

if TYPE_CHECKING:
    from airflow_ephemeral_secrets.demo.lookups import Lookups
    from airflow_ephemeral_secrets.demo.story import Story

HELP = "run example Dags in a real Airflow on credentials minted by an embedded cloud, and prove that nothing leaked"

HEADINGS = ("task", "conn_id", "recipe", "principal", "expires (UTC)", "token from")
INSTALL = "pip install 'airflow-ephemeral-secrets[demo]'"
NEEDED = (
    "apache-airflow",
    "apache-airflow-providers-amazon",
    "apache-airflow-providers-http",
    "apache-airflow-providers-standard",
    "boto3",
    "flask",
    "flask-cors",
    "jsonschema",
    "moto",
    "psutil",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--keep", action="store_true", help="keep the AIRFLOW_HOME and say where it is")
    parser.add_argument(
        "--timeout", type=float, default=170, metavar="SECONDS", help="give up after this time (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 if every proof held, 1 if not, 2 if something is not installed, 130 if interrupted."""
    if missing := [name for name in NEEDED if not _installed(name)]:
        print(f"not installed: {', '.join(missing)}; try: {INSTALL}", file=sys.stderr)
        return 2
    from airflow_ephemeral_secrets.demo.airflow import AirflowFailed
    from airflow_ephemeral_secrets.demo.progress import Progress
    from airflow_ephemeral_secrets.demo.story import tell

    progress = Progress(sys.stderr)
    try:
        story = tell(progress, keep=args.keep, timeout=args.timeout)
    except AirflowFailed as error:
        progress.close()
        print(error, "" if args.keep else "(--keep leaves all logs)", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.close()
        print("interrupted; everything was stopped and removed", file=sys.stderr)
        return 130
    progress.close()
    print(_as_json(story) if args.json else _as_text(story))
    if args.keep:
        print(f"kept: AIRFLOW_HOME={story.home}", file=sys.stderr)
    return 0 if story.held else 1


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _as_json(story: Story) -> str:
    return json.dumps(
        {
            "held": story.held,
            "seconds": round(story.seconds, 1),
            "lookups": [asdict(one) for one in story.lookups],
            "proofs": [asdict(proof) for proof in story.proofs],
        },
        indent=2,
    )


def _as_text(story: Story) -> str:
    failed = sum(not proof.held for proof in story.proofs)
    verdict = f"{failed} of {len(story.proofs)} proofs FAILED" if failed else f"all {len(story.proofs)} proofs held"
    return "\n".join(
        [
            *_table(story.lookups),
            "",
            *(f"{'ok' if proof.held else 'FAILED':6}  {proof.claim}: {proof.evidence}" for proof in story.proofs),
            "",
            f"{verdict} in {story.seconds:.0f} s",
        ]
    )


def _table(lookups: Sequence[Lookups]) -> Iterator[str]:
    """Lay out what each conn_id became, a block for each Dag run."""
    head, *lines = render(HEADINGS, map(_cells, lookups)).splitlines()
    yield f"  {head}"
    for (dag_id, run_id), members in groupby(zip(lookups, lines, strict=True), key=lambda row: row[0].dag_run):
        yield f"Dag {dag_id}, run {run_id}"
        yield from (f"  {line}" for _, line in members)


def _cells(one: Lookups) -> tuple[str, ...]:
    principal = (one.principal or "-").rpartition(":")[2]
    expires = (one.expires_at or "never").partition(".")[0].replace("T", " ")
    answers = ", ".join(f"{origin} x{count}" if count > 1 else origin for origin, count in one.answers.items())
    return one.task_id, one.conn_id, f"{one.recipe}: {one.source}", principal, expires, answers
