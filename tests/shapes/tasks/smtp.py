"""What a task does with the smtp provider."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.operators.smtp import EmailOperator

from tests.shapes.tasks.asking import attempt, execute, lookups, tell

MAIL: dict[str, Any] = {"to": "you@acme.test", "html_content": "text", "from_email": "airflow@acme.test"}
GOOD = ("password", "token", "token_as_password", "implicit", "too_early")


def send(conn_id: str) -> None:
    with SmtpHook(conn_id) as hook:
        hook.send_email_smtp(subject=conn_id, **MAIL)


async def asend(conn_id: str) -> None:
    async with SmtpHook(conn_id) as hook:
        await hook.asend_email_smtp(subject=f"async {conn_id}", **MAIL)


tell(
    **{conn_id: attempt(lambda conn_id=conn_id: send(conn_id)) for conn_id in GOOD},  # type: ignore[misc]
    **{
        f"async {conn_id}": attempt(lambda conn_id=conn_id: asyncio.run(asend(conn_id)))  # type: ignore[misc]
        for conn_id in GOOD
    },
    operator=attempt(lambda: execute(EmailOperator(task_id="t", subject="operator", conn_id="token", **MAIL))),
    reads=attempt(lambda: lookups("password", lambda: send("password"))),
    wrong=attempt(lambda: send("wrong")),
    wrong_token=attempt(lambda: send("wrong_token")),
    wrong_implicit=attempt(lambda: send("wrong_implicit")),
)
