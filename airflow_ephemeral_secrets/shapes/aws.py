"""The ``aws`` connection of the amazon provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec

OURS = ("aws_session_token", "aws_access_key_id", "aws_secret_access_key")
OTHERS = ("role_arn", "assume_role_method", "profile_name")


class Aws(Shape, frozen=True, kw_only=True, tag="aws"):
    """
    An AWS connection that holds a session.

    The hook reads it once and does not refresh it: a task may run on it until the session expires.

    :param region: the connection's ``region_name``
    :param extra: further keys of the hook, such as ``endpoint_url`` or ``config_kwargs``
    """

    accepts = (AwsCredential,)
    cautions = ("the hook reads the connection once and does not refresh it: a task may run until the session expires",)

    region: Annotated[str, Meta(max_length=30, description="an AWS region")] | None = None
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = [f"extra.{key}: is filled in by this shape" for key in OURS if key in self.extra]
        found += [f"extra.{key}: would make the hook take another identity" for key in OTHERS if key in self.extra]
        if self.region and "region_name" in self.extra:
            found.append("extra.region_name: stands twice; region says it")
        return found

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, AwsCredential)
        extra = dict(self.extra)
        if credential.session_token:
            extra["aws_session_token"] = credential.session_token
        if self.region:
            extra["region_name"] = self.region
        return spec(
            credential,
            conn_type="aws",
            login=credential.access_key_id,
            password=credential.secret_access_key,
            extra=dump(extra),
        )
