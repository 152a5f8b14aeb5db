"""What a task does with the apache.kafka provider."""

from __future__ import annotations

from airflow.providers.apache.kafka.hooks.client import KafkaAdminClientHook
from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

from tests.shapes.tasks.asking import attempt, lookups, tell

WAYS = ("plain", "token", "sha256", "sha512", "wrong", "wrong_token", "wrong_sha256")


def topics(conn_id: str) -> list[str]:
    patience = 2 if conn_id.startswith("wrong") else 10
    return sorted(KafkaAdminClientHook(conn_id).get_conn.list_topics(timeout=patience).topics)


hook = KafkaAdminClientHook("plain")
tell(
    **{way: attempt(lambda way=way: topics(way)) for way in WAYS},  # type: ignore[misc]
    producer=attempt(lambda: sorted(KafkaProducerHook("plain").get_producer().list_topics(timeout=10).topics)),
    reads=lookups("plain", lambda: [hook.get_conn.list_topics(timeout=10), hook.get_conn.list_topics(timeout=10)]),
)
