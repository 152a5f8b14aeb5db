"""A resolver over a fake source, a fake clock and no host store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.audit_file import AuditFile
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.policy import Policy
from airflow_ephemeral_secrets.recipe import Book, Recipe
from airflow_ephemeral_secrets.resolver import OpenRoute, Resolver, no_route
from airflow_ephemeral_secrets.shapes.base import Rule, Shape, VariableShape
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.sources.base import SecretReference, Source
from airflow_ephemeral_secrets.telemetry import SILENT, Telemetry
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource

CALLER = Caller(process="task", dag_id="a_dag", task_id="a_task", run_id="a_run")


def recipe(
    source: Source,
    shape: Shape | VariableShape | None = None,
    *,
    allow: Rule | None = None,
    references: dict[str, SecretReference] | None = None,
) -> Recipe:
    return Recipe(
        pattern="api",
        source_name="fake",
        source=source,
        shape=shape or Http(source="fake", host="https://api.example.com", allow=allow),
        references=references or {},
        proofs=(),
    )


def resolver(
    *,
    clock: FakeClock | None = None,
    source: Source | None = None,
    raises: Exception | None = None,
    audit: Path | None = None,
    telemetry: Telemetry = SILENT,
    open_route: OpenRoute = no_route,
    mask: Callable[[Masks], None] = lambda _: None,
    **more: Any,
) -> Resolver:
    """
    Build one that owns the connection ``api`` and the variable ``TOKEN``.

    :param raises: what the fake source raises instead of minting
    :param more: of :func:`recipe`
    """
    clock = clock or FakeClock()
    source = source or FakeSource(raises=[raises] if raises else [])
    config = Config(
        where="a test",
        connections=Book([("api", recipe(source, **more))]),
        variables=Book([("TOKEN", recipe(source, VariableShape(source="fake", value="<{token}>")))]),
        secrets={},
        sources={"fake": source},
    )
    leases = LeaseCache(clock, Random(7), lambda: None)
    return Resolver(
        config,
        Policy(),
        leases,
        Audit(clock, lambda: [AuditFile(str(audit))] if audit else [], telemetry),
        clock,
        open_route,
        mask,
    )
