"""What tasks and triggers do for longer than a token lives, with hooks whose token stands where the capability is."""

from __future__ import annotations

from typing import Any

from airflow.providers.databricks.hooks.databricks import DatabricksHook
from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger
from airflow.providers.elasticsearch.hooks.elasticsearch import ElasticsearchSQLHook

from tests.shapes.tasks.asking import again, attempt, fired, lookups, tell, uri


def outlive(workspace: Any, engine: Any) -> dict[str, list[Any]]:
    """Use two hooks until their tokens have died three times."""
    found: dict[str, list[Any]] = {"databricks": [], "elasticsearch": []}

    def use() -> None:
        found["databricks"].append(attempt(lambda: workspace.get_run_state(1).life_cycle_state))
        found["elasticsearch"].append(attempt(lambda: engine.get_records("SELECT 1")))

    again(use)
    return found


trigger = DatabricksExecutionTrigger(1, "workspace", polling_period_seconds=0)
engine = ElasticsearchSQLHook(elasticsearch_conn_id="engine")
outlived: dict[str, list[Any]] = {}
reads = lookups("workspace", lambda: outlived.update(outlive(DatabricksHook("workspace"), engine)))
tell(
    reads=reads,
    outlived=outlived,
    fired=attempt(lambda: fired(trigger)),
    key=attempt(lambda: ElasticsearchSQLHook(elasticsearch_conn_id="key").get_records("SELECT 1")),
    basic=attempt(lambda: ElasticsearchSQLHook(elasticsearch_conn_id="basic").get_records("SELECT 1")),
    dead=attempt(lambda: ElasticsearchSQLHook(elasticsearch_conn_id="dead").get_records("SELECT 1")),
    uris=[uri(engine)],
)
