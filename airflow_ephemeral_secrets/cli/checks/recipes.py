"""What the recipes own, beside what else stands for the same names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import msgspec

from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.cli.checks.settings import YES, Option
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.installation import SESSION_FACTORY
from airflow_ephemeral_secrets.recipe import Book, Recipe
from airflow_ephemeral_secrets.shapes.live import CALLBACK

SECTIONS = (("connections", "AIRFLOW_CONN_"), ("variables", "AIRFLOW_VAR_"))


def books(config: Config) -> Mapping[str, Book[Recipe]]:
    """Name the two books of a configuration."""
    return {"connections": config.connections, "variables": config.variables}


def remote_logging(config: Config, conn_id: str | None) -> Iterator[Finding]:
    """Find out whether we own the connection of remote logging."""
    if conn_id and config.connections.match(conn_id):
        yield Finding(
            "settings",
            f"[logging] remote_log_conn_id {conn_id} is owned by a recipe",
            "Airflow keeps that connection for the life of a process; we refuse it rather than let it go stale",
            "remote_log_conn_id = (empty), with the worker's own identity for the log bucket",
        )


def decoys(config: Config, environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Find static secrets in the environment under names that recipes own; Airflow writes them there in capitals."""
    for section, prefix in SECTIONS:
        book = books(config)[section]
        owned = [recipe.pattern.upper() for recipe in book]
        for name in sorted(environ):
            rest = name.removeprefix(prefix).upper()
            if name.startswith(prefix) and any(fnmatchcase(rest, pattern) for pattern in owned):
                yield Finding(
                    "recipes",
                    f"{name} is set, and a recipe under {section} owns that name",
                    "the old secret lies in every process of this worker, and answers again if the recipe goes",
                    f"unset {name}",
                )


def covered(config: Config) -> Iterator[Finding]:
    """Find patterns that nothing can reach, for an earlier one matches all that they do."""
    for section, book in books(config).items():
        patterns = [recipe.pattern for recipe in book if set(recipe.pattern) & set("*?[")]
        for number, pattern in enumerate(patterns):
            cover = next((first for first in patterns[:number] if _covers(first, pattern)), None)
            if cover:
                yield Finding(
                    "recipes",
                    f"{section}.{pattern} is never used: {cover} stands before it and matches all that it does",
                    "its names get another source, shape or allow than its line says",
                    f"{section}.{pattern} before {section}.{cover}",
                )


def _covers(first: str, second: str) -> bool:
    """Say whether a pattern of stars matches whatever another one does."""
    return not set(first) & set("?[") and fnmatchcase(second, first)


def teams(config: Config, option: Option) -> Iterator[Finding]:
    """Find what asks for a team where Airflow has none."""
    if (option("core", "multi_team") or "").lower() in YES:
        return
    if config.policy.require_team:
        yield Finding(
            "recipes",
            "policy.require_team is on, and Airflow has no teams",
            "every lookup is refused",
            "[core] multi_team = True, or policy.require_team: false",
        )
    for section, book in books(config).items():
        for recipe in book:
            needs = "allow.teams" if recipe.allow and recipe.allow.teams is not None else None
            if "{team}" in _templates(recipe):
                needs = f"{{team}} in sources.{recipe.source_name}"
            if needs:
                yield Finding(
                    "recipes",
                    f"{section}.{recipe.pattern} asks for the caller's team ({needs}), and Airflow has no teams",
                    "every lookup of it is refused",
                    "[core] multi_team = True",
                )


def _templates(recipe: Recipe) -> str:
    fields = msgspec.structs.asdict(recipe.source)
    return repr([fields[name] for name in recipe.source.templates])


def parsing(config: Config) -> Iterator[Finding]:
    """Find a permission that another setting takes back."""
    if config.parse.mint and config.policy.deny_unknown_caller:
        yield Finding(
            "recipes",
            "parse.mint lets Dag parsing have credentials, and policy.deny_unknown_caller refuses it",
            "a Dag file that asks at its top level does not parse: parsing has no Dag yet",
            "parse.mint: false, or policy.deny_unknown_caller: false",
        )


def session_factory(config: Config, option: Option) -> Iterator[Finding]:
    """Find a factory, other than ours, that makes the sessions of Amazon's hooks."""
    factory = option("aws", "session_factory")
    held = sorted(recipe.pattern for recipe in config.connections if recipe.shape.__struct_config__.tag == "aws")
    if factory and factory != SESSION_FACTORY and held:
        yield Finding(
            "recipes",
            f"[aws] session_factory is {factory}, which makes the sessions of {', '.join(held)}",
            "it may take another identity than the connection's",
            "[aws] session_factory = (empty), or see that it keeps to the connection",
        )


def kafka(config: Config, option: Option) -> Iterator[Finding]:
    """Find a live connection whose callback Airflow's Kafka hook would refuse to call."""
    allowed = {name.strip() for name in (option("apache_kafka", "callback_allowlist") or "").split(",")}
    for recipe in config.connections:
        if getattr(recipe.shape, "live", None) == "oauth_cb" and CALLBACK not in allowed:
            yield Finding(
                "recipes",
                f"connections.{recipe.pattern} is live by oauth_cb, and callback_allowlist does not name that",
                "the hook refuses the connection",
                f"[apache_kafka] callback_allowlist = {CALLBACK}",
            )


def netrc(config: Config) -> Iterator[Finding]:
    """Find entries of a ``.netrc`` that stand in the place of a token, where the hook leaves us no way around."""
    for recipe in config.connections:
        host = getattr(recipe.shape, "host", None)
        if recipe.shape.__struct_config__.tag != "opensearch" or not host:
            continue
        from requests.utils import get_netrc_auth

        if get_netrc_auth(f"https://{host}"):
            yield Finding(
                "recipes",
                f".netrc of this user has an entry for {host}, the host of connections.{recipe.pattern}",
                "the hook sends what stands there instead of the token",
                f"no entry for {host} in .netrc",
            )
