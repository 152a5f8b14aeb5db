"""``airflow-ephemeral flush``: forget leases, in all processes of this host; a credential handed out lives on."""

from __future__ import annotations

import argparse
import json

from airflow_ephemeral_secrets.cli import setting

HELP = "forget a lease, or all, in every process of this host; the next lookup mints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to forget."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("lease_id", metavar="LEASE_ID", nargs="?", help="as leases and the audit show it")
    what.add_argument("--all", action="store_true", help="forget everything")


def run(args: argparse.Namespace) -> int:
    """
    Forget; 1 if there is no such lease.

    :raises StoreError: when there is no safe store
    """
    resolver = setting.installation(args).resolver()
    gone = resolver.flush() if args.all else resolver.invalidate(args.lease_id)
    if args.json:
        print(json.dumps({"forgotten": gone}))
    else:
        print(f"forgotten: {', '.join(gone) or 'nothing'}")
    return 0 if gone or args.all else 1
