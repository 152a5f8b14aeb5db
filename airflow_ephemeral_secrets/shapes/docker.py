"""The ``docker`` connection of the docker provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Filled, Shape, dump, fill, spec
from airflow_ephemeral_secrets.shapes.fields import Port


class Docker(Shape, frozen=True, kw_only=True, tag="docker"):
    """
    A registry that the Docker daemon logs in to, such as Amazon ECR.

    The hook reads it once, when it connects to the daemon, and hands the login on to it.

    :param host: the registry
    :param port: where ``host`` does not name it
    :param login: the user name; for a token, what the registry wants beside it
    :param extra: further keys of the hook, such as ``email``
    """

    accepts = (BasicCredential, BearerToken)
    cautions = ("the hook logs in once, and the Docker daemon is given the password",)

    host: Annotated[
        str,
        Meta(
            pattern=r"^(https://)?[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[^\s\x00?#@{}]{0,500})?(?!\n)$",
            description="a registry such as 111122223333.dkr.ecr.eu-west-1.amazonaws.com",
        ),
    ]
    port: Port | None = None
    login: Filled = "{username}"
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        reauth = str(self.extra.get("reauth", True)).lower()
        if reauth in ("n", "no", "f", "false", "off", "0"):
            return ["extra.reauth: would make the hook take what an earlier login left on the worker"]
        return []

    def texts(self) -> Mapping[str, str]:
        return {"login": self.login}

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        (password,) = credential.secrets()
        return spec(
            credential,
            conn_type="docker",
            host=self.host,
            port=self.port,
            login=fill(self.login, credential),
            password=password,
            extra=dump(self.extra),
        )
