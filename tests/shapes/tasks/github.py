"""What a task does with the github provider."""

from __future__ import annotations

from airflow.providers.github.hooks.github import GithubHook
from airflow.providers.github.operators.github import GithubOperator

from tests.shapes.tasks.asking import attempt, execute, lookups, tell

hook = GithubHook("api")
tell(
    user=hook.get_conn().get_user().login,
    enterprise=GithubHook("enterprise").get_conn().get_user().login,
    operator=execute(
        GithubOperator(
            task_id="t", github_conn_id="api", github_method="get_user", result_processor=lambda user: user.login
        )
    ),
    reads=lookups("api", lambda: [hook.get_conn(), hook.get_conn()]),
    wrong=attempt(lambda: GithubHook("wrong").get_conn().get_user().login),
)
