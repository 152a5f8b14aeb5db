"""Tokens of Google: access tokens for its APIs, ID tokens for what stands behind IAP, Cloud Run or Apigee."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from airflow_ephemeral_secrets.caller import Attribution
from airflow_ephemeral_secrets.clock import seconds
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import SourceRefused
from airflow_ephemeral_secrets.sources.base import Minting, Source
from airflow_ephemeral_secrets.sources.files import AbsolutePath
from airflow_ephemeral_secrets.sources.google_client import CLOUD_PLATFORM, Client, Wanted
from airflow_ephemeral_secrets.sources.google_credentials import AMBIENT, AWS_AMBIENT, identity
from airflow_ephemeral_secrets.sources.google_iam import Impersonated

LONGEST, FIXED = 43_200, 3_600

_FACT = r"\{(?:dag_id|task_id|run_id|team)\}"
_SCOPE = re.compile(r"[A-Za-z0-9_.:/-]{1,256}")
_ACCOUNT = re.compile(r"[a-z0-9-]{1,64}@[a-z0-9.-]{1,190}\.gserviceaccount\.com")

Scope = Annotated[
    str,
    Meta(
        pattern=rf"^([A-Za-z0-9_.:/-]|{_FACT}){{1,256}}(?!\n)$",
        description="a scope such as https://www.googleapis.com/auth/bigquery",
    ),
]
Audience = Annotated[
    str,
    Meta(
        pattern=rf"^([!-z|~]|{_FACT})+(?!\n)$",
        max_length=2_048,
        description="an audience without spaces, such as https://reports.example.com",
    ),
]
Account = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9-]{1,64}@[a-z0-9.-]{1,190}\.gserviceaccount\.com(?!\n)$",
        description="the email of a service account",
    ),
]
AccountTemplate = Annotated[
    str,
    Meta(
        pattern=rf"^([a-z0-9-]|{_FACT})+@([a-z0-9.-]|{_FACT})+\.gserviceaccount\.com(?!\n)$",
        max_length=256,
        description="the email of a service account, such as airflow-{team}@a-project.iam.gserviceaccount.com",
    ),
]
Subject = Annotated[
    str,
    Meta(
        pattern=rf"^([A-Za-z0-9_.+-]|{_FACT})+@([A-Za-z0-9.-]|{_FACT})+(?!\n)$",
        max_length=320,
        description="the email of a user",
    ),
]


class Google(Source, frozen=True, kw_only=True, tag="google"):
    """
    Get tokens from Google, as this worker or as a service account that it may impersonate.

    :param token: ``access`` for Google's APIs, ``id`` for services that ask who calls (IAP, Cloud Run, Apigee)
    :param scopes: of an access token; by default cloud-platform, which leaves the choice to IAM
    :param audience: whom an ID token is for
    :param impersonate: the service account to act as
    :param delegates: service accounts between the worker and that one, each of which may impersonate the next
    :param subject: the Workspace user to act as (domain-wide delegation), with a key file or ``impersonate``
    :param credentials_file: a service account key, a workload identity federation or an authorized user; by default
        what ``GOOGLE_APPLICATION_CREDENTIALS`` names, then gcloud's file, then the metadata server
    :param ttl: how long an access token of an impersonated service account shall live, up to 12h; all others live 1h
    :param attribution: how finely the requests to IAM and STS name the caller in Google's audit log
    """

    templates = ("scopes", "audience", "impersonate", "subject")

    attribution: Attribution = "none"
    token: Literal["access", "id"] = "access"  # noqa: S105  # it is a word
    scopes: Annotated[list[Scope], Meta(max_length=50)] = []
    audience: Audience | None = None
    impersonate: AccountTemplate | None = None
    delegates: Annotated[list[Account], Meta(max_length=10)] = []
    subject: Subject | None = None
    credentials_file: AbsolutePath | None = None

    def yields(self) -> type[Credential]:
        return BearerToken

    def ambient(self) -> Mapping[str, str]:
        names = AWS_AMBIENT if self.credentials_file else (*AMBIENT, *AWS_AMBIENT)
        return {name: value for name in names if (value := os.environ.get(name))}

    def endpoints(self) -> list[str]:
        return ["https://iamcredentials.googleapis.com"] if self.impersonate else []

    def problems(self) -> list[str]:
        found = []
        if self._wants_id:
            found += [f"{name}: does not go with token: id" for name in ("scopes", "subject") if getattr(self, name)]
        if self._wants_id != bool(self.audience):
            found.append("audience: goes with token: id, and with that alone; it is required there")
        if self.delegates and not self.impersonate:
            found.append("delegates: lead to the service account of impersonate, which is missing")
        fixed = self._wants_id or self.subject or not (self.impersonate or self.credentials_file)
        if not 0 < seconds(self.ttl) <= LONGEST:
            found.append(f"ttl: Google accepts up to 12h, got {self.ttl!r}")
        elif fixed and seconds(self.ttl) > FIXED:
            found.append(f"ttl: Google gives 1h, and more only to access tokens with impersonate; got {self.ttl!r}")
        return found

    def mint(self, minting: Minting) -> Credential:
        facts = minting.facts
        _check(facts)
        client = Client(network=minting.network, deadline=minting.deadline, asked=minting.asked, stamp=minting.stamp)
        who = identity(self.credentials_file, minting.network)
        if facts["impersonate"]:
            who = Impersonated(who, facts["impersonate"], tuple(self.delegates))
        if self._wants_id:
            return who.id_token(client, facts["audience"])
        scopes = tuple(facts["scopes"]) or (CLOUD_PLATFORM,)
        return who.access_token(client, Wanted(scopes=scopes, lifetime=seconds(self.ttl), subject=facts["subject"]))

    @property
    def _wants_id(self) -> bool:
        return self.token == "id"  # noqa: S105  # it is a word


def _check(facts: Mapping[str, Any]) -> None:
    """Refuse, before the call, what the caller's facts made of the templates."""
    if not all(_SCOPE.fullmatch(scope) for scope in facts["scopes"]):
        raise SourceRefused("one of scopes is longer than 256 or holds other characters", code="bad_scope")
    if facts["impersonate"] and not _ACCOUNT.fullmatch(facts["impersonate"]):
        raise SourceRefused("impersonate is not the email of a service account", code="bad_service_account")
