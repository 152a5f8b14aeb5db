"""Airflow's own settings, where they keep this backend from being asked, or make it fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from airflow_ephemeral_secrets import _settings
from airflow_ephemeral_secrets._settings import BACKEND, Setting
from airflow_ephemeral_secrets.cli.checks.finding import Finding

Option = Callable[[str, str], str | None]

KWARGS = '{"config_file": "/path/of/ephemeral.yaml"}'
MISNAMED = (
    ("workers", "backend", "secrets_backend"),
    ("workers", "backend_kwargs", "secrets_backend_kwargs"),
    ("secrets", "secrets_backend", "backend"),
    ("secrets", "secrets_backend_kwargs", "backend_kwargs"),
)
SHORTEST_TOKEN = 20
YES = ("true", "1", "t")


def start() -> Iterator[Finding]:
    """Read Airflow's settings for the first time, which fails where Airflow itself does not start."""
    if fault := _settings.fault():
        yield Finding(
            "settings",
            f"Airflow does not start here: {fault}",
            "no component runs, and no task",
            f"[secrets] backend = {BACKEND}, installed where Airflow is",
        )


def backends(server: Setting | None, worker: Setting | None, option: Option) -> Iterator[Finding]:
    """Compare what the server and the workers are told."""
    for setting in (server, worker if worker != server else None):
        if setting:
            yield from _one(setting)
    if server and worker and server.ours and worker.ours and server.kwargs != worker.kwargs:
        yield Finding(
            "settings",
            "[secrets] and [workers] name different configurations",
            "what explain and doctor say on one side is not what tasks get on the other",
            "the same kwargs in both, or [workers] alone",
        )
    if worker and worker.ours and not (server and server.ours) and _local(option):
        yield Finding(
            "settings",
            "[secrets] backend is not set, and LocalExecutor runs tasks",
            "it copies task logs to the scheduler's output, where Airflow masks nothing; this backend masks it if set",
            f"[secrets] backend = {BACKEND}, with the same kwargs",
        )
    if server and server.ours and worker and not worker.ours:
        yield Finding(
            "settings",
            f"[workers] secrets_backend is {worker.path}",
            "tasks never ask this backend, and the API server mints for nobody",
            f"[workers] secrets_backend = {BACKEND}",
        )


def _local(option: Option) -> bool:
    """Look for LocalExecutor where Airflow lists its executors: ``MODULE.NAME, ALIAS:NAME; TEAM=NAME``."""
    teams = (option("core", "multi_team") or "").lower() in YES
    groups = [group.rpartition("=") for group in (option("core", "executor") or "").split(";")]
    listed = [name for team, _, names in groups if teams or not team for name in names.split(",")]
    return "LocalExecutor" in [re.split("[:.]", name)[-1].strip() for name in listed]


def _one(setting: Setting) -> Iterator[Finding]:
    if setting.path != BACKEND and (setting.ours or setting.near) and not _settings.importable(setting.path):
        yield Finding(
            "settings",
            f"[{setting.section}] names {setting.path}, which cannot be imported",
            "Airflow finds no backend there, and every task fails at its first lookup",
            f"[{setting.section}] {setting.key} = {BACKEND}",
        )
    elif setting.ours and setting.faulty:
        yield Finding(
            "settings",
            f"[{setting.section}] backend kwargs are not a JSON object",
            "Airflow then builds the backend with no kwargs, and every lookup is refused",
            f"[{setting.section}] {setting.key}_kwargs = {KWARGS}",
        )


def misplaced(option: Option, worker: Setting | None) -> Iterator[Finding]:
    """Find options that Airflow does not read, under names that look right."""
    for section, wrong, right in MISNAMED:
        if option(section, wrong):
            yield Finding(
                "settings",
                f"[{section}] {wrong} is set, which Airflow does not read",
                "it has no effect",
                f"[{section}] {right}",
            )
    lost = "secrets_backend_kwargs"
    if option("workers", lost) and not (worker and worker.section == "workers"):
        yield Finding(
            "settings",
            f"[workers] {lost} is set without secrets_backend",
            "workers then take [secrets] backend with its own kwargs, and these have no effect",
            f"[workers] secrets_backend = {BACKEND}",
        )


def harmful(option: Option) -> Iterator[Finding]:
    """Find settings that undo what this backend is for."""
    if (option("secrets", "use_cache") or "").lower() in YES:
        yield Finding(
            "settings",
            "[secrets] use_cache is on",
            "Dag parsing gets connections from a cache that keeps them past their expiry",
            "[secrets] use_cache = False",
        )
    shortest = option("logging", "min_length_masked_secret") or "0"
    if shortest.isdigit() and int(shortest) > SHORTEST_TOKEN:
        yield Finding(
            "settings",
            f"[logging] min_length_masked_secret is {shortest}",
            "shorter tokens and passwords stand in task logs as they are",
            "[logging] min_length_masked_secret = 5",
        )
    if (user := option("core", "default_impersonation")) and user != _settings.user():
        yield Finding(
            "settings",
            f"[core] default_impersonation runs tasks as {user}, and the doctor runs as {_settings.user()}",
            "tasks have another store, other files and perhaps another identity than those looked at here",
            f"sudo -u {user} airflow-ephemeral doctor",
        )
