"""The ``slack`` and ``slackwebhook`` connections of the slack provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.extra import Url, taken


class Slack(Shape, frozen=True, kw_only=True, tag="slack"):
    """
    The Slack API, by a token.

    The hook reads it once and keeps its client; the asynchronous client reads it anew.

    :param base_url: the API's base URL, where it is not Slack's own
    :param extra: further keys of the hook, such as ``timeout`` or ``proxy``
    """

    accepts = (BearerToken,)
    cautions = ("SlackHook keeps the token: a task may run until it ends",)

    base_url: Url | None = None
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        return taken("slack", self.extra, ours=("base_url",))

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        extra = {**self.extra, **({"base_url": self.base_url} if self.base_url else {})}
        return spec(credential, conn_type="slack", password=credential.token, extra=dump(extra))


class SlackWebhook(Shape, frozen=True, kw_only=True, tag="slackwebhook"):
    """
    An incoming webhook of Slack; the token is the secret part of its URL, ``T…/B…/…``, or the whole URL.

    The hook reads it once and keeps its client.

    :param host: what stands before the token in the URL, where it is not Slack's own
    :param extra: further keys of the hook, such as ``timeout`` or ``proxy``
    """

    accepts = (BearerToken,)
    cautions = ("SlackWebhookHook keeps the token, which is part of the URL that it asks",)

    host: Url | None = None
    extra: dict[str, Any] = {}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        return spec(
            credential, conn_type="slackwebhook", host=self.host, password=credential.token, extra=dump(self.extra)
        )
