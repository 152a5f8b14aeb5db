"""What Airflow is told of the page. Every task process loads this module too, so nothing is made until it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from fastapi import FastAPI

PREFIX = "/ephemeral"
NAME = "Credentials"
FILTERS = {
    "nav": "",
    "dag": "?dag_id={DAG_ID}",
    "dag_run": "?dag_id={DAG_ID}&run_id={RUN_ID}",
    "task_instance": "?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
}
"""Where the page is shown, and what it is asked there; Airflow fills in the braces."""

_app: FastAPI | None = None


def app() -> FastAPI:
    """Give the app, which is made once, in the API server."""
    global _app  # noqa: PLW0603  # one for all who ask
    if _app is None:
        from airflow_ephemeral_secrets.ui.app import make

        _app = make()
    return _app


class EphemeralSecretsPlugin(AirflowPlugin):
    """The page under Browse, and a tab of each Dag, Dag run and task instance."""

    name = "ephemeral_secrets"
    external_views = [
        {
            "name": NAME,
            "href": f"{PREFIX.removeprefix('/')}/{query}",
            "destination": destination,
            "url_route": f"credentials_{destination}" if query else "credentials",
            **({} if query else {"category": "browse"}),
        }
        for destination, query in FILTERS.items()
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app, for the API server alone: no other process reads this."""
        return [{"app": app(), "url_prefix": PREFIX, "name": NAME}]
