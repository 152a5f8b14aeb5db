"""The ``google_cloud_platform`` connection of the google provider."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape, dump, spec
from airflow_ephemeral_secrets.shapes.extra import taken

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


class Google(Shape, frozen=True, kw_only=True, tag="google_cloud_platform"):
    """
    A Google Cloud connection that holds an access token.

    The hook reads it once. google-auth stops using the token 3 minutes and 45 seconds before it expires, and cannot
    refresh it. Hooks built on gcloud-aio refresh before their first request, so they fail, and with them the operators
    that defer to them.

    :param project: the project to work in
    :param scope: OAuth scopes, separated by commas, for what the hook derives from the token
    :param num_retries: how often the hook tries a request again
    :param extra: further keys of the hook, such as ``quota_project_id`` or ``impersonation_chain``
    """

    accepts = (BearerToken,)
    cautions = (
        "the hook keeps the token, and takes it for dead 3 minutes and 45 seconds before it is",
        "hooks built on gcloud-aio, and operators that defer to them, fail: they refresh first",
        "operators that run gcloud, Beam or the Cloud SQL proxy take the worker's own identity",
    )

    project: Annotated[str, Meta(pattern=r"^[a-z0-9.:-]{1,100}(?!\n)$", description="a project id")]
    scope: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    num_retries: Annotated[int, Meta(ge=0, le=100, description="a whole number from 0 to 100")] | None = None
    extra: dict[str, Any] = {}

    def problems(self) -> list[str]:
        return taken("google_cloud_platform", self.extra, ours=OURS, others=OTHERS)

    def render(self, credential: Credential, secret: Callable[[SecretName], str]) -> ConnectionSpec:
        assert isinstance(credential, BearerToken)
        extra = {"project": self.project, **self.extra}
        if self.scope:
            extra["scope"] = self.scope
        if self.num_retries is not None:
            extra["num_retries"] = self.num_retries
        extra["credential_config_file"] = _authorized_user(credential)
        return spec(credential, conn_type="google_cloud_platform", extra=dump(extra))


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
