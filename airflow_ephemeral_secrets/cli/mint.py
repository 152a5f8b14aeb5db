"""``airflow-ephemeral mint CONN_ID``: mint with the identity here, and show everything but the secret."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone

from airflow_ephemeral_secrets.cli import setting
from airflow_ephemeral_secrets.clock import Deadline, SystemClock, seconds

HELP = "mint a credential with the identity here and print all about it but the secret"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the conn_id and the caller."""
    parser.add_argument("conn_id", metavar="CONN_ID")
    setting.add_caller_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """
    Mint once, past every cache, leaving nothing behind.

    :raises EphemeralSecretsError: when there is no credential
    """
    resolver = setting.installation(args).resolver(shared=False)
    recipe = setting.recipe(resolver, args.conn_id)
    clock = SystemClock()
    start = clock.now()
    deadline = Deadline(clock, seconds(resolver.config.network.deadline))
    lease = resolver.lease(recipe, args.conn_id, setting.caller(args), deadline).lease
    credential = lease.credential
    ends = datetime.fromtimestamp(lease.expires_at, timezone.utc).isoformat(timespec="seconds")
    told = {
        "conn_id": args.conn_id,
        "source": recipe.source_name,
        "kind": recipe.source.kind,
        "principal": credential.principal,
        "scope": credential.scope,
        "expires_at": ends if credential.expires_at is not None else None,
        "lease_id": lease.lease_id,
        "request_id": credential.request_id,
        "took_ms": round((clock.now().boot - start.boot) * 1000),
    }
    if args.json:
        print(json.dumps(told))
    else:
        print("\n".join(f"{name:11} {'-' if value is None else value}" for name, value in told.items()))
    return 0
