"""What the helpers for other tools have in common: they hand out the credential of a conn_id, on stdout."""

from __future__ import annotations

import argparse

from airflow_ephemeral_secrets.cli import setting
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.leases.lease import Lease


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the conn_id and the caller."""
    parser.add_argument("conn_id", metavar="CONN_ID")
    setting.add_caller_arguments(parser)


def lease(args: argparse.Namespace, kind: type[Credential], words: str) -> Lease:
    """
    Get the lease behind a conn_id as a lookup does: by the policy, from the host store where it is held there.

    :param kind: of credential that the tool takes
    :param words: for it
    :raises EphemeralSecretsError: when there is none, or it is of another kind
    """
    resolver = setting.installation(args).resolver()
    recipe = setting.recipe(resolver, args.conn_id)
    if recipe.source.yields() is not kind:
        raise AccessDenied(
            f"{args.conn_id!r} has no {words}: its source {recipe.source_name!r} is of kind {recipe.source.kind}",
            code="wrong_kind",
            hint="the conn_id of another recipe",
        )
    return resolver.lease(recipe, args.conn_id, setting.caller(args), resolver.deadline()).lease
