"""``airflow-ephemeral doctor``: find what is wrong before a task does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.cli import checks, setting
from airflow_ephemeral_secrets.cli.checks import Finding
from airflow_ephemeral_secrets.clock import Deadline, SystemClock, seconds
from airflow_ephemeral_secrets.errors import AccessDenied, ConfigError, EphemeralSecretsError
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.resolver import Resolver

HELP = "check the configuration, Airflow's settings, the store, the endpoints and the clock"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whether to mint."""
    parser.add_argument("--mint", action="store_true", help="mint a credential for each recipe as well")


def run(args: argparse.Namespace) -> int:
    """Check; 0 if nothing is wrong, 1 if something is, 2 if the configuration cannot be used."""
    findings = list(_settings(args))
    try:
        found = setting.installation(args)
    except ConfigError as error:
        findings += [
            Finding("config", problem, "without a usable configuration nothing is granted", error.where)
            for problem in error.problems
        ]
        _print(findings, as_json=args.json)
        return 2
    findings += _installation(found)
    if args.mint:
        findings += _mint(found.resolver(shared=False))
    _print(findings, as_json=args.json)
    return 1 if findings else 0


def _settings(args: argparse.Namespace) -> Iterator[Finding]:
    if not args.config:
        yield from checks.airflow_settings(
            _airflow.server_setting(), _airflow.worker_setting(), _airflow.option("core", "executor")
        )
        yield from checks.use_cache(_airflow.option("secrets", "use_cache"))


def _installation(found: Installation) -> Iterator[Finding]:
    resolver = found.resolver(shared=False)
    yield from checks.packages(resolver.config)
    yield from checks.remote_logging(resolver.config, _airflow.remote_log_conn_id())
    yield from checks.store(found)
    yield from checks.endpoints(resolver.config, SystemClock())


def _mint(resolver: Resolver) -> Iterator[Finding]:
    """Mint for each recipe as a plain script, passing over those that are for certain callers only."""
    clock = SystemClock()
    for recipe in [*resolver.config.connections, *resolver.config.variables]:
        deadline = Deadline(clock, seconds(resolver.config.network.deadline))
        try:
            resolver.lease(recipe, recipe.pattern, Caller(process="script"), deadline)
        except AccessDenied:
            continue
        except EphemeralSecretsError as error:
            yield Finding(
                "mint",
                f"{recipe.pattern}: {error}",
                "a task that asks for it fails with this message",
                f"airflow-ephemeral mint {recipe.pattern} --dag-id DAG, once it is mended",
            )


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
        return
    for finding in findings:
        print(f"{finding.check}: {finding.what}\n    why:  {finding.why}\n    mend: {finding.mend}")
    if not findings:
        print("nothing to mend", file=sys.stderr)
