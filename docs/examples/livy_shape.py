"""A shape: the ``livy`` connection of the Apache Livy provider."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.fields import Port


class Livy(Shape, frozen=True, kw_only=True, tag="livy"):
    """
    A Livy connection whose token travels in a header.

    :param host: the server
    :param port: its port
    :param requested_by: what the server wants in ``X-Requested-By``
    """

    accepts = (BearerToken,)

    host: str
    port: Port = 8998
    requested_by: str | None = None

    def problems(self) -> list[str]:
        return ["host: expected a host name, not a URL"] if "://" in self.host else []

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        extra = {"Authorization": f"Bearer {credential.token}"}
        if self.requested_by:
            extra["X-Requested-By"] = self.requested_by
        return spec(credential, conn_type="livy", host=self.host, port=self.port, schema="https", extra=dump(extra))
