"""What a task does with the ssh and sftp providers."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.providers.sftp.hooks.sftp import SFTPHook, SFTPHookAsync
from airflow.providers.sftp.triggers.sftp import SFTPTrigger
from airflow.providers.ssh.hooks.ssh import SSHHook, SSHHookAsync
from airflow.providers.ssh.operators.ssh import SSHOperator

from tests.shapes.tasks.asking import attempt, execute, fired, lookups, tell

WAYS = ("by_password", "by_token", "by_key", "by_reference")


def command(conn_id: str) -> str:
    with SSHHook(conn_id, conn_retry_attempts=1).get_conn() as client:
        return str(client.exec_command("echo done")[1].read().decode())


def files(conn_id: str) -> bool:
    with SFTPHook(conn_id).get_managed_conn():
        return SFTPHook(conn_id).isdir("/")


async def acommand(conn_id: str) -> str:
    return await SSHHookAsync(conn_id).run_command_output("echo done")


async def listed(conn_id: str) -> Any:
    return await SFTPHookAsync(conn_id).list_directory("/") is not None


async def twice(conn_id: str) -> None:
    hook = SFTPHookAsync(conn_id)
    await hook.list_directory("/")
    await hook.list_directory("/")


tell(
    **{f"ssh {way}": attempt(lambda way=way: command(way)) for way in WAYS},  # type: ignore[misc]
    **{f"sftp {way}": attempt(lambda way=way: files(f"sftp_{way}")) for way in WAYS},  # type: ignore[misc]
    **{f"async {way}": attempt(lambda way=way: asyncio.run(listed(f"sftp_{way}"))) for way in WAYS},  # type: ignore[misc]
    **{f"async ssh {way}": attempt(lambda way=way: asyncio.run(acommand(way))) for way in WAYS},  # type: ignore[misc]
    async_reads=lookups("sftp_by_password", lambda: asyncio.run(twice("sftp_by_password"))),
    operator=attempt(lambda: execute(SSHOperator(task_id="t", ssh_conn_id="by_password", command="echo done"))),
    trigger=attempt(lambda: fired(SFTPTrigger(path="/", sftp_conn_id="sftp_by_password", file_pattern="a*"))),
    reads=lookups("sftp_by_password", lambda: files("sftp_by_password")),
    keys_of_the_worker=attempt(lambda: command("keys_of_the_worker")),
    async_keys_of_the_worker=attempt(lambda: asyncio.run(listed("sftp_keys_of_the_worker"))),
    wrong=attempt(lambda: command("wrong")),
    wrong_key=attempt(lambda: command("wrong_key")),
    wrong_host=attempt(lambda: command("wrong_host")),
    unknown_host=attempt(lambda: command("unknown_host")),
    any_host=attempt(lambda: command("any_host")),
    async_wrong=attempt(lambda: asyncio.run(listed("sftp_wrong"))),
    async_wrong_host=attempt(lambda: asyncio.run(listed("sftp_wrong_host"))),
)
