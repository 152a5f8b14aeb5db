"""What tasks do with Redis."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

from airflow.providers.redis.hooks.redis import RedisHook
from airflow.providers.redis.operators.redis_publish import RedisPublishOperator
from airflow.providers.redis.sensors.redis_key import RedisKeySensor
from airflow.providers.redis.triggers.redis_await_message import AwaitMessageTrigger

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell


def who(name: str) -> Any:
    return attempt(lambda: RedisHook(name).get_conn().execute_command("ACL", "WHOAMI").decode())


def publish() -> None:
    execute(RedisPublishOperator(task_id="t", channel="news", message="hello", redis_conn_id="redis"))


def awaited() -> Any:
    heard = Event()

    def keep_publishing() -> None:
        while not heard.wait(0.1):
            publish()

    Thread(target=keep_publishing, daemon=True).start()
    try:
        return fired(AwaitMessageTrigger("news", redis_conn_id="redis", poll_interval=0.05))
    finally:
        heard.set()


def twice() -> None:
    hook = RedisHook("redis")
    for _ in range(2):
        hook.get_conn().ping()


def same_client() -> bool:
    hook = RedisHook("redis")
    return hook.get_conn() is hook.get_conn()


RedisHook("redis").get_conn().set("key", "value")
tell(
    hook={name: who(name) for name in ("redis", "redis_token", "redis_default")},
    refused={name: who(name) for name in ("redis_wrong", "redis_expired", "redis_plain", "redis_impostor")},
    sensor=bool(RedisKeySensor(task_id="t", key="key", redis_conn_id="redis").poke({})),
    deferred=awaited(),
    lookups=lookups("redis", twice),
    same_client=same_client(),
)
