"""The ``aws`` connection of the amazon provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.live import STS_LOGIN, LiveFace, Route, StsFace

OURS = ("aws_session_token", "aws_access_key_id", "aws_secret_access_key")
OTHERS = ("role_arn", "assume_role_method", "assume_role_kwargs", "profile_name")
LEASED = "arn:aws:iam::000000000000:role/airflow-ephemeral-secrets"
"""A role that is none: the hook asks for it, and gets the lease."""

FROZEN = "the hook reads the connection once and does not refresh it: a task may run until the session expires"
REFRESHED = (
    "the hook gets its keys from 127.0.0.1 in this process, again and again; a subprocess that outlives it cannot"
)


class Aws(Shape, frozen=True, kw_only=True, tag="aws"):
    """
    An AWS connection that holds a session.

    The hook reads it once and does not refresh it: a task may run on it until the session expires. A live one leads
    the hook's own ``AssumeRole`` into this process, and is refreshed by the hook for as long as the task runs.

    :param region: the connection's ``region_name``
    :param extra: further keys of the hook, such as ``endpoint_url`` or ``config_kwargs``
    :param live: give the hook fresh keys whenever those that it has are about to expire
    """

    accepts = (AwsCredential,)

    region: Annotated[str, Meta(max_length=30, description="an AWS region")] | None = None
    extra: dict[str, Any] = {}
    live: bool = False

    def problems(self) -> list[str]:
        found = [f"extra.{key}: is filled in by this shape" for key in OURS if key in self.extra]
        found += [f"extra.{key}: would make the hook take another identity" for key in OTHERS if key in self.extra]
        if self.region and "region_name" in self.extra:
            found.append("extra.region_name: stands twice; region says it")
        return [*found, *self._live_problems()] if self.live else found

    def _live_problems(self) -> Iterator[str]:
        settings = _mapping(self.extra, "config_kwargs")
        if "http" in _mapping(settings, "proxies"):
            yield "extra.config_kwargs.proxies.http: would stand before 127.0.0.1"
        if settings.get("signature_version", "v4") not in ("v4", "s3v4"):
            yield "extra.config_kwargs.signature_version: does not go with live, where the hook proves itself by v4"

    def notes(self) -> Sequence[str]:
        return [REFRESHED if self.live else FROZEN]

    def face(self) -> LiveFace | None:
        return StsFace(upstream=self._upstream()) if self.live else None

    def _upstream(self) -> str | None:
        """Find where the hook would ask STS, if the file says so."""
        sts = _mapping(_mapping(self.extra, "service_config"), "sts")
        found = sts.get("endpoint_url", self.extra.get("endpoint_url"))
        return found if isinstance(found, str) else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        services = _mapping(self.extra, "service_config")
        sts = {**_mapping(services, "sts"), "endpoint_url": route.url}
        place = {"role_arn": LEASED, "service_config": {**services, "sts": sts}} if route.url else {}
        return spec(
            None,
            secrets=(route.capability,),
            conn_type="aws",
            login=STS_LOGIN,
            password=route.capability,
            extra=dump({**self._extra(), **place}),
        )

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, AwsCredential)
        token = {"aws_session_token": credential.session_token} if credential.session_token else {}
        return spec(
            credential,
            conn_type="aws",
            login=credential.access_key_id,
            password=credential.secret_access_key,
            extra=dump({**self._extra(), **token}),
        )

    def _extra(self) -> dict[str, Any]:
        return {**self.extra, "region_name": self.region} if self.region else dict(self.extra)


def _mapping(within: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Look into a part of the extra, empty where there is none."""
    found = within.get(key)
    return found if isinstance(found, Mapping) else {}
