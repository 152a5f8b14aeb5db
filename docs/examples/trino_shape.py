"""A shape: the ``trino`` connection of the trino provider."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.fields import Port


class Trino(Shape, frozen=True, kw_only=True, tag="trino"):
    """
    A Trino connection that proves itself with a JWT.

    :param host: the coordinator
    :param port: its port
    :param login: the user that queries run as
    :param catalog: the default catalog
    """

    accepts = (BearerToken,)

    host: str
    port: Port = 443
    login: str
    catalog: str | None = None

    def problems(self) -> list[str]:
        return ["host: expected a host name, not a URL"] if "://" in self.host else []

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        extra = {"auth": "jwt", "jwt__token": credential.token, "protocol": "https"}
        if self.catalog:
            extra["catalog"] = self.catalog
        return spec(credential, conn_type="trino", host=self.host, port=self.port, login=self.login, extra=dump(extra))
