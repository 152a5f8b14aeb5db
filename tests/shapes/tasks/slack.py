"""What a task does with the slack provider."""

from __future__ import annotations

import asyncio

from airflow.providers.slack.hooks.slack import SlackHook
from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from airflow.providers.slack.operators.slack import SlackAPIPostOperator

from tests.shapes.tasks.asking import attempt, execute, lookups, tell

hook = SlackHook(slack_conn_id="api")
webhook = SlackWebhookHook(slack_webhook_conn_id="hook")
tell(
    api=hook.call("auth.test")["user"],
    asynchronous=asyncio.run(hook.async_call("auth.test"))["user"],
    operator=attempt(
        lambda: execute(SlackAPIPostOperator(task_id="t", slack_conn_id="api", channel="#c", text="text", blocks=[]))
    ),
    reads=lookups("api", lambda: [hook.call("auth.test"), hook.call("auth.test")]),
    asynchronous_reads=lookups("api", lambda: asyncio.run(hook.async_call("auth.test"))),
    wrong=attempt(lambda: SlackHook(slack_conn_id="api_wrong").call("auth.test")),
    hook=webhook.send_text("text").body,
    hook_asynchronous=asyncio.run(webhook.async_send(text="text")).body,
    hook_wrong=attempt(lambda: SlackWebhookHook(slack_webhook_conn_id="hook_wrong").send_text("text")),
    hook_by_url=SlackWebhookHook(slack_webhook_conn_id="hook_by_url").send_text("text").body,
)
