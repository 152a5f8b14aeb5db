"""``airflow-ephemeral audit``: who got what, when and from where, as the audit file tells it."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime, timezone

from airflow_ephemeral_secrets import timeline
from airflow_ephemeral_secrets.cli import calls, setting
from airflow_ephemeral_secrets.cli.table import render
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, seconds
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.timeline import Line, Wanted

HELP = "print the timeline of a Dag run, a task, a conn_id or a lease from the audit file"
FACTS = ("dag_id", "task_id", "run_id", "conn_id", "lease_id")
HEAD = ("time", "event", "outcome", "conn_id", "caller", "lease", "from", "ms", "what")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to look for, and where."""
    for name in FACTS:
        words = name.replace("_", " ")
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="NAME", help=f"only lines with this {words}")
    parser.add_argument(
        "--since", metavar="TIME", type=_moment, help="only lines since then: 90s, 15m, 24h, or 2027-01-15T08:00 (UTC)"
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="the audit file, or a directory of them (default: the configuration's audit.file)",
    )
    parser.add_argument(
        "--gateway-log",
        metavar="FILE",
        help="print the calls in this access log of a gateway instead, each with the task that made it",
    )


def run(args: argparse.Namespace) -> int:
    """
    Print the lines in order; 1 if there are none, or if a gateway's log has calls by nobody we know.

    Files that were rotated are read too.

    :raises ConfigError: when no file is known, or it cannot be read
    """
    path = args.file or setting.installation(args).resolver(shared=False).config.audit.file
    if not path:
        raise ConfigError("audit", ["file: the configuration names none; give --file FILE"])
    wanted = Wanted(**{name: getattr(args, name) for name in (*FACTS, "since")})
    try:
        paths = timeline.files(path)
        if not paths:
            print(f"there is no audit file at {path}", file=sys.stderr)
        if args.gateway_log:
            return calls.show(args.gateway_log, paths, wanted, as_json=args.json)
        found = timeline.read(paths, wanted)
    except OSError as error:
        raise ConfigError(
            "audit", [f"file: {error.filename or path}: {os.strerror(error.errno or 0).lower()}"]
        ) from None
    if args.json:
        for line in found.lines:
            print(line.raw.decode(errors="replace"))
    else:
        print(render(HEAD, [_row(line, wanted) for line in found.lines]))
    if found.left_out:
        print(f"{found.left_out} older lines are left out; --since and the other options narrow it", file=sys.stderr)
    if found.malformed:
        print(f"{found.malformed} malformed lines, or files that break off, are left out", file=sys.stderr)
    return 0 if found.lines else 1


def _moment(text: str) -> float:
    """Read a duration before now, or a moment, into epoch seconds."""
    try:
        return SYSTEM_CLOCK.now().wall - seconds(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a duration nor a moment") from None


def _row(line: Line, wanted: Wanted) -> tuple[str, ...]:
    told = (
        line.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        line.event,
        line.outcome,
        line.conn_id,
        _caller(line, wanted),
        line.lease_id,
        line.origin,
        line.duration_ms,
        f"{line.code}: {line.reason}" if line.reason else line.principal,
    )
    return tuple("-" if value is None else _printable(str(value)) for value in told)


def _caller(line: Line, wanted: Wanted) -> str:
    """Name the caller by what was not asked for."""
    who = line.caller
    names = [name for name in ("dag_id", "run_id", "task_id") if getattr(wanted, name) is None]
    told = [value for name in names if (value := getattr(who, name))]
    if who.map_index is not None and who.map_index >= 0:
        told.append(f"[{who.map_index}]")
    if who.try_number is not None:
        told.append(f"try {who.try_number}")
    return " ".join(told) or who.process or "-"


def _printable(text: str) -> str:
    """Keep what a Dag put into a line from steering a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
