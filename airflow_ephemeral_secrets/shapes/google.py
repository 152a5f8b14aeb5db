"""The ``google_cloud_platform`` connection of the google provider."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.extra import taken
from airflow_ephemeral_secrets.shapes.live import AT_HAND, CLIENT_ID, LiveFace, Route, TokenFace

OURS = ("credential_config_file", "project", "scope", "num_retries")
OTHERS = (
    "key_path",
    "keyfile_dict",
    "key_secret_name",
    "key_secret_project_id",
    "is_anonymous",
    "idp_issuer_url",
    "idp_extra_parameters",
    "idp_extra_params",
    "client_id",
    "client_secret",
)
ENDLESS = "9999-12-31T23:59:59Z"
"""google-auth takes a token without an expiry for one that is dead."""

PROGRAMS = "operators that run gcloud, Beam or the Cloud SQL proxy take the worker's own identity"


class Google(Shape, frozen=True, kw_only=True, tag="google_cloud_platform"):
    """
    A Google Cloud connection that holds an access token.

    The hook reads it once. google-auth stops using the token 3 minutes and 45 seconds before it expires, and cannot
    refresh it. Hooks built on gcloud-aio refresh before their first request, so they fail, and with them the operators
    that defer to them. With ``live`` all of them refresh, in the asking process.

    :param project: the project to work in
    :param scope: OAuth scopes, separated by commas, for what the hook derives from the token
    :param num_retries: how often the hook tries a request again
    :param extra: further keys of the hook, such as ``quota_project_id`` or ``impersonation_chain``
    :param live: let google-auth get its tokens from this process, whenever it needs one
    """

    accepts = (BearerToken,)
    cautions = (
        "the hook keeps the token, and takes it for dead 3 minutes and 45 seconds before it is",
        "hooks built on gcloud-aio, and operators that defer to them, fail: they refresh first",
        PROGRAMS,
    )

    project: Annotated[str, Meta(pattern=r"^[a-z0-9.:-]{1,100}(?!\n)$", description="a project id")]
    scope: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    num_retries: Annotated[int, Meta(ge=0, le=100, description="a whole number from 0 to 100")] | None = None
    extra: dict[str, Any] = {}
    live: bool = False

    def problems(self) -> list[str]:
        return taken("google_cloud_platform", self.extra, ours=OURS, others=OTHERS)

    def notes(self) -> Sequence[str]:
        return [AT_HAND, PROGRAMS] if self.live else self.cautions

    def face(self) -> LiveFace | None:
        return TokenFace(margin=225.0) if self.live else None

    def render_live(self, route: Route, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        extra = self._extra(_in_memory(json.dumps(_refreshing_user(route))))
        return spec(None, secrets=(route.capability,), conn_type="google_cloud_platform", extra=extra)

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        extra = self._extra(_authorized_user(credential))
        return spec(credential, conn_type="google_cloud_platform", extra=extra)

    def _extra(self, credentials: Mapping[str, str | None] | str) -> str | None:
        ours = {"scope": self.scope or None, "num_retries": self.num_retries, "credential_config_file": credentials}
        told = {key: value for key, value in ours.items() if value is not None}
        return dump({"project": self.project, **self.extra, **told})


@cache
def _in_memory(text: str) -> str:
    """Put a text into a file in memory, and give its path, which only this process and its forks can open."""
    descriptor = os.memfd_create("airflow-ephemeral-secrets")
    os.write(descriptor, text.encode())
    return f"/proc/self/fd/{descriptor}"


def _refreshing_user(route: Route) -> dict[str, str]:
    """Make what google-auth reads as a user whose tokens come from a desk (``external_account_authorized_user``)."""
    return {
        "type": "external_account_authorized_user",
        "audience": "",
        "client_id": CLIENT_ID,
        "client_secret": route.capability,
        "refresh_token": route.capability,
        "token_url": route.url,
    }


def _authorized_user(credential: BearerToken) -> dict[str, str | None]:
    """Make what google-auth reads as a token with an expiry; without a refresh token it asks nobody for another."""
    return {
        "type": "authorized_user",
        "client_id": None,
        "client_secret": None,
        "refresh_token": None,
        "token": credential.token,
        "expiry": ENDLESS if credential.expires_at is None else _utc(credential.expires_at),
    }


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
