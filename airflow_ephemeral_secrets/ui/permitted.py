"""Which Dags' lines a user may read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel


def may_read(user: Any) -> Callable[[str | None], bool]:
    """
    Give what says whether a user may read the audit log of a Dag, as Airflow's own audit log does.

    Lines of callers that are unknown are for everyone who sees the page.
    """

    @cache
    def allowed(dag_id: str | None) -> bool:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)) if dag_id else None
        return details is None or bool(
            get_auth_manager().is_authorized_dag(
                method="GET", access_entity=DagAccessEntity.AUDIT_LOG, details=details, user=user
            )
        )

    return allowed
