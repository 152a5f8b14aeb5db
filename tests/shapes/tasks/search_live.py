"""What a task does with search engines while its keys die one after the other."""

from __future__ import annotations

import os
import time
from typing import Any

from airflow.providers.elasticsearch.hooks.elasticsearch import ElasticsearchSQLHook
from airflow.providers.opensearch.hooks.opensearch import OpenSearchHook
from airflow.providers.opensearch.operators.opensearch import OpenSearchQueryOperator

from tests.shapes.tasks.asking import asked, attempt, execute, tell

QUERY = {"query": {"match_all": {}}}
LEAST = 12
UNTIL = time.monotonic() + float(os.environ["SECONDS"])


def again_and_again() -> list[Any]:
    hook = OpenSearchHook("orders", log_query=True)
    found = []
    while time.monotonic() < UNTIL or len(found) < LEAST:
        found.append(attempt(lambda: hook.search(QUERY, "a b+c,\u1234*", q="x y", routing="\u00fc/+")["hits"]))
        found.append(attempt(lambda: hook.index({"n": 1}, "i", 1)["hits"]))
        time.sleep(0.1)
    return found


found = again_and_again()
operator = OpenSearchQueryOperator(task_id="t", query=QUERY, index_name="i", opensearch_conn_id="orders")
tell(
    found=found,
    lookups=asked.count("orders"),
    operator=attempt(lambda: execute(operator)["hits"]),
    elasticsearch=attempt(lambda: ElasticsearchSQLHook(elasticsearch_conn_id="es").get_records("SELECT 1")),
    opensearch=attempt(lambda: OpenSearchHook("os", log_query=True).search(QUERY, "i")["hits"]),
)
