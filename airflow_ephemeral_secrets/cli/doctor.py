"""``airflow-ephemeral doctor``: find what is wrong before a task does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from airflow_ephemeral_secrets import _airflow, _settings
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.cli import setting
from airflow_ephemeral_secrets.cli.checks import audit, endpoints, files, packages, recipes, settings, store
from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Deadline, seconds
from airflow_ephemeral_secrets.errors import AccessDenied, ConfigError, EphemeralSecretsError
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.resolver import Resolver

HELP = "find what is wrong with the configuration, Airflow's settings, this worker and the way to the providers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whether to mint."""
    parser.add_argument("--mint", action="store_true", help="mint a credential for each recipe as well")


def run(args: argparse.Namespace) -> int:
    """Check; 0 if nothing is wrong, 1 if something is, 2 if the configuration cannot be used."""
    findings, code = [*settings.start(), *packages.registered(), *packages.airflow()], 2
    if not any(finding.check == "settings" for finding in findings):
        code = _check(args, findings)
    _print(findings, as_json=args.json)
    return code


def _check(args: argparse.Namespace, findings: list[Finding]) -> int:
    findings += _airflows(args)
    try:
        found = setting.installation(args)
    except ConfigError as error:
        findings += [
            Finding("config", problem, "without a usable configuration nothing is granted", error.where)
            for problem in error.problems
        ]
        return 2
    findings += _ours(found)
    if args.mint:
        findings += _mint(found.resolver(shared=False))
    return 1 if findings else 0


def _airflows(args: argparse.Namespace) -> Iterator[Finding]:
    if not args.config:
        worker = _settings.worker()
        yield from settings.backends(_settings.server(), worker, _settings.option)
        yield from settings.misplaced(_settings.option, worker)
    yield from settings.harmful(_settings.option)


def _ours(found: Installation) -> Iterator[Finding]:
    config = found.resolver(shared=False).config
    yield from packages.extras(config)
    yield from packages.telemetry(config)
    yield from recipes.remote_logging(config, _airflow.remote_log_conn_id())
    yield from recipes.covered(config)
    yield from recipes.decoys(config)
    yield from recipes.teams(config, _settings.option)
    yield from recipes.parsing(config)
    yield from recipes.session_factory(config, _settings.option)
    yield from recipes.kafka(config, _settings.option)
    yield from recipes.netrc(config)
    yield from files.configuration(found.path)
    yield from files.secrets(config, SYSTEM_CLOCK)
    yield from files.identities(config)
    yield from audit.file(config.audit.file)
    yield from audit.syslog(config.audit.syslog)
    yield from store.store(found)
    yield from endpoints.endpoints(config, SYSTEM_CLOCK)


def _mint(resolver: Resolver) -> Iterator[Finding]:
    """Mint for each recipe as a plain script, passing over what is for certain callers only or was found already."""
    config = resolver.config
    for recipe in [*config.connections, *config.variables]:
        if any(reference.at_hand and files.unreadable(reference, config, SYSTEM_CLOCK) for reference in recipe.proofs):
            continue
        deadline = Deadline(SYSTEM_CLOCK, seconds(config.network.deadline))
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
