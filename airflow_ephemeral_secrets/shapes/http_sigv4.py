"""The ``http`` connection to an API of AWS that wants every request signed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape
from airflow_ephemeral_secrets.shapes.http import HOOK_KEYS, NOT_LIVE, STORED, Header, live_http
from airflow_ephemeral_secrets.shapes.live import LED, LiveFace, Route, SigningFace

_REGION = re.compile(r"\.([a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})\.")
NO_REGION = "region: required, for the host does not name one"

Upstream = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^\s\x00/?#@]+|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?)(/[^\s\x00?#]*)?(?!\n)$",
        description="an https URL without a login (http for loopback only)",
    ),
]
Region = Annotated[str, Meta(pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}(?!\n)$", description="an AWS region")]
Service = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}(?!\n)$", description="the name a signature has for a service")]


class HttpSigV4(Shape, frozen=True, kw_only=True, tag="http_sigv4"):
    """
    An HTTP connection to API Gateway (IAM authorization) or another API of AWS.

    It is live by nature: the hook is led through this process, which signs each request (Signature Version 4).

    :param host: the API's base URL, with its stage
    :param service: ``execute-api`` for API Gateway; ``es``, ``aoss``, ``lambda``, ``s3`` and so on
    :param region: where the host does not name it
    :param headers: headers of every request, as text or by secret reference
    :param extra: further keys of the hook, such as ``timeout``
    """

    accepts = (AwsCredential,)
    cautions = (LED, STORED)

    host: Upstream
    service: Service = "execute-api"
    region: Region | None = None
    headers: dict[Header, SecretName | str] = {}
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        found = [f"extra.{key}: does not go with live; {use}" for key, use in NOT_LIVE.items() if key in self.extra]
        found += [f"extra.{key}: goes into headers" for key in self.extra if key not in HOOK_KEYS]
        if not region(self.region, self.host):
            found.append(NO_REGION)
        return found

    def face(self) -> LiveFace:
        where = region(self.region, self.host)
        assert where
        return SigningFace(upstream=self.host, service=self.service, region=where)

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        return live_http(route, self.headers, self.extra, secret)

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        raise TypeError("http_sigv4 has no static form")


def region(given: str | None, host: str) -> str | None:
    """Find the region that a signature is for: the one given, else the one that the host names."""
    match = _REGION.search(host)
    return given or (match[1] if match else None)
