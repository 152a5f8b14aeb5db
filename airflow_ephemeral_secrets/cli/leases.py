"""``airflow-ephemeral leases``: what the host store holds, without its secrets."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone

from airflow_ephemeral_secrets.cli import setting
from airflow_ephemeral_secrets.cli.table import render
from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK
from airflow_ephemeral_secrets.leases.lease import Lease

HELP = "list what the host store holds, without its secrets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(args: argparse.Namespace) -> int:
    """
    List the leases that this user's processes share, the soonest to end first.

    :raises StoreError: when there is no safe store
    """
    store = setting.installation(args).open_store()
    found = sorted((lease for _, lease in store.leases()), key=lambda lease: lease.expires_at) if store else []
    told = [_told(lease) for lease in found]
    if args.json:
        print(json.dumps(told))
    else:
        head = ("lease", "state", "expires", "kind", "principal")
        print(render(head, [tuple(one.values()) for one in told]))
    return 0


def _told(lease: Lease) -> dict[str, str]:
    return {
        "lease_id": lease.lease_id,
        "state": lease.freshness(SYSTEM_CLOCK.now()),
        "expires_at": datetime.fromtimestamp(lease.expires_at, timezone.utc).isoformat(timespec="seconds"),
        "kind": str(lease.credential.__struct_config__.tag),
        "principal": lease.credential.principal,
    }
