"""Work that outlives its tokens several times, in tasks and in the triggerer: topics and messages, both ways."""

from __future__ import annotations

from airflow.providers.apache.kafka.hooks.client import KafkaAdminClientHook
from airflow.providers.apache.kafka.sensors.kafka import AwaitMessageSensor
from airflow.sdk import dag, task

from tests.airflow.fetching import again_and_again


def kafka(way: str) -> None:
    @dag(dag_id=way, schedule="@once")
    def working() -> None:
        @task(task_id=f"{way}_task")
        def topics():
            client = KafkaAdminClientHook(f"{way}_task").get_conn

            def ask():
                client.poll(0)
                assert client.list_topics(timeout=10).topics

            again_and_again(ask)

        topics()
        AwaitMessageSensor(
            task_id=f"{way}_trigger",
            kafka_config_id=f"{way}_trigger",
            topics=["a-topic"],
            apply_function="builtins.bool",
            poll_timeout=0.3,
            poll_interval=0.3,
        )

    working()


for way in ("kafka", "kafka_called"):
    kafka(way)
