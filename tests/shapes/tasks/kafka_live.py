"""What tasks do with Kafka for longer than a token lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow.providers.apache.kafka.hooks.client import KafkaAdminClientHook
from airflow.providers.apache.kafka.hooks.consume import KafkaConsumerHook
from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

from tests.shapes.tasks.asking import again, attempt, lookups, tell


def admin(conn_id: str) -> Any:
    return KafkaAdminClientHook(conn_id).get_conn


def producer(conn_id: str) -> Any:
    return KafkaProducerHook(conn_id).get_producer()


def consumer(conn_id: str) -> Any:
    return KafkaConsumerHook(["a-topic"], conn_id).get_consumer()


def topics(client: Any) -> list[str]:
    """Ask for the topics; serve callbacks before, as whoever uses a client does."""
    if hasattr(client, "poll"):
        client.poll(0)
    return sorted(client.list_topics(timeout=10).topics)


def outlive(clients: dict[str, Any]) -> dict[str, list[Any]]:
    """Use clients until their tokens have died three times."""
    found: dict[str, list[Any]] = {name: [] for name in clients}

    def use() -> None:
        for name, client in clients.items():
            found[name].append(attempt(partial(topics, client)))

    again(use)
    return found


MADE: dict[str, Callable[[str], Any]] = {"admin": admin, "producer": producer, "consumer": consumer}

clients: dict[str, Any] = {}
reads = lookups("fetched", lambda: clients.update({f"fetched {name}": make("fetched") for name, make in MADE.items()}))
clients.update({f"called {name}": make("called") for name, make in MADE.items()})
tell(
    reads=reads,
    outlived=outlive(clients),
    stranger=attempt(lambda: admin("stranger").list_topics(timeout=2)),
    opaque=attempt(lambda: admin("opaque").list_topics(timeout=2)),
)
