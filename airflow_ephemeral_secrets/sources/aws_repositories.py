"""Tokens for what is kept in AWS: the images of ECR and the packages of CodeArtifact."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from math import inf
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.clock import seconds
from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.sources.aws_errors import request_id
from airflow_ephemeral_secrets.sources.aws_issued import AwsIssued, taken
from airflow_ephemeral_secrets.sources.aws_role import SHORTEST, word
from airflow_ephemeral_secrets.sources.base import Minting

ECR_LIFE = 12 * 3600
ECR_LOGIN = "AWS"
AS_LONG_AS_THE_SESSION = 0
"""What CodeArtifact takes as a duration for less than 15 minutes."""

Account = Annotated[str, Meta(pattern=r"^[0-9]{12}(?!\n)$", description="an AWS account, 12 digits")]
Domain = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9-]{0,48}[a-z0-9](?!\n)$", description="the name of a CodeArtifact domain"),
]


class AwsEcr(AwsIssued, frozen=True, kw_only=True, tag="aws_ecr"):
    """
    Ask ECR for the password of a private registry (``GetAuthorizationToken``).

    ECR lets it live for 12 hours and takes no other wish; it is handed out for the ``ttl``.

    :param registry: the account that owns the registry, where that is not the identity's own
    :param region: where the registry is
    :param ttl: for how long it is handed out, 15m to 12h
    """

    lives = ("15m", "12h")
    suspects = "the account of the registry, and its region"

    registry: Account | None = None

    def yields(self) -> type[Credential]:
        return BasicCredential

    @property
    def service(self) -> str:
        return "ecr"

    def mint(self, minting: Minting) -> Credential:
        session = self.session(minting)
        of = f"registry {self.registry}" if self.registry else "its own registry"
        which: dict[str, Any] = {"registryIds": [self.registry]} if self.registry else {}
        answer = self.ask("GetAuthorizationToken", of, minting, session, **which)
        password, end = taken(self.service, lambda: _registry_login(answer, self.registry))
        return BasicCredential(
            username=ECR_LOGIN,
            password=password,
            expires_at=self.until(end, minting, session, ECR_LIFE),
            principal=session.principal,
            request_id=request_id(answer.get("ResponseMetadata", {})),
        )


class AwsCodeArtifact(AwsIssued, frozen=True, kw_only=True, tag="aws_codeartifact"):
    """
    Ask CodeArtifact for a token for the repositories of a domain (``GetAuthorizationToken``).

    pip and other clients that log in use it as the password of the login ``aws``.

    :param domain: the domain
    :param owner: the account that owns the domain
    :param region: where the domain is
    :param ttl: 15m to 12h; the token is asked for no longer than the session that asks for it lives
    """

    lives = ("15m", "12h")
    suspects = "the domain, its owner and its region"

    domain: Domain
    owner: Account

    def yields(self) -> type[Credential]:
        return BearerToken

    @property
    def service(self) -> str:
        return "codeartifact"

    def mint(self, minting: Minting) -> Credential:
        session = self.session(minting)
        life = min(seconds(self.ttl), (session.expires_at or inf) - minting.asked.wall)
        answer = self.ask(
            "GetAuthorizationToken",
            f"domain {self.domain} of {self.owner}",
            minting,
            session,
            needs="codeartifact:GetAuthorizationToken and sts:GetServiceBearerToken",
            domain=self.domain,
            domainOwner=self.owner,
            durationSeconds=int(life) if life >= SHORTEST else AS_LONG_AS_THE_SESSION,
        )
        token, end = taken(self.service, lambda: (word(answer["authorizationToken"]), answer["expiration"].timestamp()))
        return BearerToken(
            token=token,
            expires_at=self.until(end, minting, session, life),
            principal=session.principal,
            request_id=request_id(answer.get("ResponseMetadata", {})),
        )


def _registry_login(answer: Mapping[str, Any], registry: str | None) -> tuple[str, float]:
    """Read the answer of ECR, for the one registry that was asked for."""
    (data,) = answer["authorizationData"]
    login, _, password = b64decode(data["authorizationToken"], validate=True).decode().partition(":")
    if login != ECR_LOGIN or (registry and not data["proxyEndpoint"].startswith(f"https://{registry}.")):
        raise ValueError
    return word(password), data["expiresAt"].timestamp()
