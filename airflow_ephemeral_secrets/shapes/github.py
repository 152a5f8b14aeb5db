"""The ``github`` connection of the github provider."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, spec
from airflow_ephemeral_secrets.shapes.extra import Url


class Github(Shape, frozen=True, kw_only=True, tag="github"):
    """
    The GitHub API, by a token, such as one of an app's installation.

    The hook reads it when it is made, and keeps its client.

    :param host: the API's URL, where it is not GitHub's own: ``https://HOST/api/v3``
    """

    accepts = (BearerToken,)
    cautions = ("the hook keeps the token: a task may run until it ends",)

    host: Url | None = None

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        return spec(credential, conn_type="github", host=self.host, password=credential.token)
