"""Which caller may use which recipe."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import NamedTuple

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.shapes.base import Shape

AMBIENT_LOGGING = "remote logging with the worker's own identity: an instance, pod or task role, or a profile"

LISTS = (
    ("dags", "Dag", "dag_id"),
    ("tasks", "task", "task_id"),
    ("teams", "team", "team"),
    ("run_types", "run type", "run_type"),
    ("owners", "owner", "owner"),
)
"""The lists of ``allow``, what each names, and which of the caller's facts that is."""


class Decision(NamedTuple):
    """An answer and its reason."""

    allowed: bool
    reason: str
    code: str = "denied"
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.reason}; try: {self.hint}" if self.hint else self.reason


class Policy:
    """
    Decide by rules, in order; the first that denies wins.

    :param parse_mint: whether Dag parsing may have credentials
    :param deny_unknown_caller: whether a caller must have a Dag
    :param require_team: whether it must have a team
    :param remote_log_conn_id: the connection of remote logging, which Airflow keeps for ever and exports
    """

    def __init__(
        self,
        *,
        parse_mint: bool = False,
        deny_unknown_caller: bool = False,
        require_team: bool = False,
        remote_log_conn_id: str | None = None,
    ) -> None:
        self._parse_mint = parse_mint
        self._deny_unknown_caller = deny_unknown_caller
        self._require_team = require_team
        self._remote_log_conn_id = remote_log_conn_id
        self._rules: tuple[Callable[[Caller, Recipe, str], Decision | None], ...] = (
            self._remote_logging,
            self._where_work_runs,
            self._known,
            self._allowed,
        )

    def decide(self, caller: Caller, recipe: Recipe, name: str) -> Decision:
        """
        Say whether, and why.

        :param name: the conn_id or variable asked for
        """
        for rule in self._rules:
            if decision := rule(caller, recipe, name):
                return decision
        return Decision(True, "everyone may" if recipe.allow is None else "the recipe's allow names the caller")

    def require(self, caller: Caller, recipe: Recipe, name: str) -> None:
        """
        Let pass or refuse.

        :raises AccessDenied: with the reason
        """
        decision = self.decide(caller, recipe, name)
        if not decision.allowed:
            raise AccessDenied(decision.reason, code=decision.code, hint=decision.hint)

    def _remote_logging(self, caller: Caller, recipe: Recipe, name: str) -> Decision | None:
        if name != self._remote_log_conn_id or not isinstance(recipe.shape, Shape):
            return None
        return Decision(
            False,
            "it is the connection of remote logging, which Airflow would keep past its expiry",
            "remote_logging",
            AMBIENT_LOGGING,
        )

    def _where_work_runs(self, caller: Caller, recipe: Recipe, name: str) -> Decision | None:
        if caller.process == "server":
            return Decision(False, "credentials are minted only where a task runs, not in a server process", "server")
        if caller.process == "parse" and not self._parse_mint:
            return Decision(
                False,
                "the Dag file asks for it while it is parsed",
                "parse",
                "asking inside the task, or parse.mint: true",
            )
        return None

    def _known(self, caller: Caller, recipe: Recipe, name: str) -> Decision | None:
        if self._deny_unknown_caller and caller.dag_id is None:
            return Decision(
                False,
                f"policy.deny_unknown_caller refuses it: a caller in a {caller.process} process has no Dag here",
                "unknown_caller",
                "asking inside a task, or policy.deny_unknown_caller: false",
            )
        if self._require_team and caller.team is None:
            return Decision(
                False,
                "policy.require_team refuses it: the caller has no team",
                "no_team",
                "a team for the Dag's bundle ([core] multi_team), or policy.require_team: false",
            )
        return None

    def _allowed(self, caller: Caller, recipe: Recipe, name: str) -> Decision | None:
        rule = recipe.allow
        if rule is None:
            return None
        for field, word, fact in LISTS:
            patterns, value = getattr(rule, field), getattr(caller, fact)
            if patterns is None:
                continue
            if value is None:
                return Decision(
                    False,
                    f"its allow names {word}s, and the caller's {word} is unknown here",
                    "not_allowed",
                    f"asking where Airflow tells the {word}, or {recipe.pattern} without allow.{field}",
                )
            values = value.split(",") if fact == "owner" else [value]
            if not any(fnmatchcase(one.strip(), pattern) for one in values for pattern in patterns):
                return Decision(
                    False,
                    f"its allow does not name {word} {value}",
                    "not_allowed",
                    f"adding it under allow.{field} of {recipe.pattern}",
                )
        return None
