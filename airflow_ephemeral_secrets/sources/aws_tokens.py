"""Tokens that an AWS session signs here, without asking anyone: for databases of RDS, and for clusters of EKS."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Duration
from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.sources import aws_role
from airflow_ephemeral_secrets.sources.aws_derived import AwsDerived, DatabaseUser, database_user
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting
from airflow_ephemeral_secrets.sources.silence import silence

LIFE = 900
"""Seconds for which RDS and EKS take a token, counted from the date in it."""
EKS_EXPIRES = 60
EKS_PREFIX = "k8s-aws-v1."

_REGION = re.compile(r"(?<=\.)[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}(?=\.)")

Host = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(?!\n)$", description="the name of a host, in lower case"),
]
Port = Annotated[int, Meta(ge=1, le=65_535, description="a port, 1 to 65535")]
EksCluster = Annotated[
    str,
    Meta(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}(?!\n)$", description="the name of an EKS cluster"),
]


class AwsRdsToken(AwsDerived, frozen=True, kw_only=True, tag="aws_rds_token"):
    """
    Sign a token that RDS and Aurora take in place of a password (IAM database authentication).

    It is the presigned request ``rds-db:connect`` of the RDS user guide, signed here. It opens connections for 15
    minutes; a connection that is open stays open. Whether ``rds-db:connect`` is allowed shows when one is opened.

    :param host: the endpoint of the instance, cluster or proxy as RDS names it; an alias makes a token that RDS refuses
    :param port: where the database listens
    :param username: the database user, which exists and may use IAM authentication
    :param region: where the database is
    :param ttl: for how long it is handed out, at most 15m
    """

    templates = (*AwsDerived.templates, "username")
    lives = ("1m", "15m")

    ttl: Duration = "15m"
    host: Host
    port: Port
    username: DatabaseUser

    def yields(self) -> type[Credential]:
        return BasicCredential

    def problems(self) -> list[str]:
        named = _REGION.findall(self.host)
        elsewhere = (
            [f"host: is in {named[0]}, while region is {self.region}"] if named not in ([], [self.region]) else []
        )
        return super().problems() + elsewhere

    def mint(self, minting: Minting) -> Credential:
        username = database_user(minting.facts["username"])
        session = self.session(minting)
        url = _presigned(
            session,
            f"https://{self.host}:{self.port}/",
            {"Action": "connect", "DBUser": username},
            service="rds-db",
            region=self.region,
            expires=LIFE,
        )
        return BasicCredential(
            username=username,
            password=url.removeprefix("https://"),
            expires_at=self.until(_end(minting), minting, session, LIFE),
            principal=f"{session.principal} as {username}",
            request_id=session.request_id,
        )


class AwsEks(AwsDerived, frozen=True, kw_only=True, tag="aws_eks"):
    """
    Sign a Bearer token for the Kubernetes API of an EKS cluster.

    It is what ``aws eks get-token`` makes: a presigned ``sts:GetCallerIdentity``, by which the cluster finds out who
    sends it (aws-iam-authenticator). It is good for 15 minutes and for that cluster alone.

    :param cluster: the name of the cluster
    :param region: where the cluster is
    :param ttl: for how long it is handed out, at most 15m
    :param endpoint_url: a private endpoint of STS, to assume the role at; the cluster itself asks the regional one
    """

    lives = ("1m", "15m")

    ttl: Duration = "15m"
    cluster: EksCluster
    endpoint_url: Endpoint | None = None

    def yields(self) -> type[Credential]:
        return BearerToken

    def endpoints(self) -> list[str]:
        return [self.endpoint_url] if self.role_arn and self.endpoint_url else super().endpoints()

    def mint(self, minting: Minting) -> Credential:
        session = self.session(minting, self.endpoint_url)
        url = _presigned(
            session,
            f"{aws_role.endpoint(self.region)}/",
            {"Action": "GetCallerIdentity", "Version": "2011-06-15"},
            {"x-k8s-aws-id": self.cluster},
            service="sts",
            region=self.region,
            expires=EKS_EXPIRES,
        )
        return BearerToken(
            token=EKS_PREFIX + urlsafe_b64encode(url.encode()).decode().rstrip("="),
            expires_at=self.until(_end(minting), minting, session, LIFE),
            principal=session.principal,
            request_id=session.request_id,
        )


def _end(minting: Minting) -> float:
    """Say when a token signed from now on ends at the earliest: the date in it has no fractions of a second."""
    return int(minting.asked.wall) + LIFE


def _presigned(
    session: AwsCredential,
    url: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str] = {},
    *,
    service: str,
    region: str,
    expires: int,
) -> str:
    """
    Sign a GET request in its URL (AWS Signature Version 4), and send it nowhere.

    :param headers: to be sent with it, and signed
    :param expires: seconds that the URL claims to be good for
    """
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    keys = ReadOnlyCredentials(session.access_key_id, session.secret_access_key, session.session_token)
    request = AWSRequest("GET", url, params=dict(parameters), headers=dict(headers))
    with silence("botocore"):
        SigV4QueryAuth(keys, service, region, expires=expires).add_auth(request)
    return str(request.url)
