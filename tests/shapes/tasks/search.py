"""What tasks do with search engines."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.common.sql.triggers.sql import SQLExecuteQueryTrigger
from airflow.providers.elasticsearch.hooks.elasticsearch import ElasticsearchSQLHook
from airflow.providers.opensearch.hooks.opensearch import OpenSearchHook
from airflow.providers.opensearch.operators.opensearch import OpenSearchQueryOperator

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell, uri

QUERY = {"query": {"match_all": {}}}


def sql(name: str) -> Any:
    return attempt(lambda: ElasticsearchSQLHook(elasticsearch_conn_id=name).get_records("SELECT 1"))


def search(name: str) -> Any:
    operator = OpenSearchQueryOperator(task_id="t", query=QUERY, index_name="i", opensearch_conn_id=name)
    return attempt(lambda: execute(operator)["hits"])


def twice_sql() -> None:
    hook = ElasticsearchSQLHook(elasticsearch_conn_id="es")
    for _ in range(2):
        hook.get_records("SELECT 1")


def twice_search() -> None:
    hook = OpenSearchHook("os", log_query=True)
    for _ in range(2):
        hook.search(QUERY, "i")


tell(
    elasticsearch={name: sql(name) for name in ("es", "es_key", "es_basic", "es_plain")},
    opensearch={name: search(name) for name in ("os", "os_basic", "os_plain")},
    refused={
        **{name: sql(name) for name in ("es_expired", "es_wrong", "es_impostor")},
        **{name: search(name) for name in ("os_expired", "os_wrong", "os_impostor", "os_netrc")},
    },
    operator=execute(SQLExecuteQueryOperator(task_id="t", conn_id="es", sql="SELECT 1")),
    deferred=fired(SQLExecuteQueryTrigger(sql="SELECT 1", conn_id="es")),
    lookups=[lookups("es", twice_sql), lookups("os", twice_search)],
    uris=[uri(ElasticsearchSQLHook(elasticsearch_conn_id=name)) for name in ("es", "es_key", "es_basic")],
)
