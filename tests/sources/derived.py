"""Every source whose tokens are made from an AWS session, and whom it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.reading import Problems, struct
from airflow_ephemeral_secrets.sources.aws_derived import AwsDerived
from airflow_ephemeral_secrets.sources.aws_redshift import AwsRedshift
from airflow_ephemeral_secrets.sources.aws_repositories import AwsCodeArtifact, AwsEcr
from airflow_ephemeral_secrets.sources.aws_tokens import AwsEks, AwsRdsToken
from tests.peers.aws_services import PASSWORD, REGISTRY, TOKEN, action, services
from tests.peers.rogue import Rogue, reply
from tests.sources.asking import ROLE, failure, story
from tests.sources.conftest import SECRET_KEY, SESSION

REGION = "eu-west-1"
CANARY = "canary0of0a0response"
DATABASE = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com"


def rds(**fields: Any) -> AwsRdsToken:
    return AwsRdsToken(**{"region": REGION, "host": DATABASE, "port": 5432, "username": "loader", **fields})


def eks(**fields: Any) -> AwsEks:
    return AwsEks(**{"region": REGION, "cluster": "batch", **fields})


def redshift(**fields: Any) -> AwsRedshift:
    return AwsRedshift(
        **{"region": REGION, "cluster": "warehouse", "database": "sales", "username": "loader", **fields}
    )


def redshift_iam(**fields: Any) -> AwsRedshift:
    return redshift(**{"username": None, **fields})


def workgroup(**fields: Any) -> AwsRedshift:
    return AwsRedshift(**{"region": REGION, "workgroup": "warehouse", "database": "sales", **fields})


def ecr(**fields: Any) -> AwsEcr:
    return AwsEcr(**{"region": REGION, "registry": REGISTRY, **fields})


def codeartifact(**fields: Any) -> AwsCodeArtifact:
    return AwsCodeArtifact(**{"region": REGION, "domain": "acme", "owner": REGISTRY, **fields})


class Kind(NamedTuple):
    """
    One way to a token.

    :param make: configures the source
    :param asks: what it asks a service for, beyond the session
    """

    make: Callable[..., AwsDerived]
    asks: tuple[str, ...] = ()


KINDS = {
    "rds": Kind(rds),
    "eks": Kind(eks),
    "redshift": Kind(redshift, ("redshift:GetClusterCredentials",)),
    "redshift_iam": Kind(redshift_iam, ("redshift:GetClusterCredentialsWithIAM",)),
    "workgroup": Kind(workgroup, ("redshift-serverless:GetCredentials",)),
    "ecr": Kind(ecr, ("ecr:GetAuthorizationToken",)),
    "codeartifact": Kind(codeartifact, ("codeartifact:GetAuthorizationToken",)),
}
ASSUME = "sts:AssumeRole"

every = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def asked(aws: Rogue) -> list[str]:
    """List what AWS was asked for."""
    return [action(request) for request in aws.requests]


def serving(monkeypatch: pytest.MonkeyPatch, **behaviour: Any) -> Iterator[Rogue]:
    """AWS on loopback, where the worker's configuration sends all that asks for it."""
    with Rogue(services(**behaviour)) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        yield aws


def as_role(kind: Kind, **fields: Any) -> AwsDerived:
    """Configure a source that assumes a role first."""
    return kind.make(role_arn=ROLE, **fields)


def in_vain(make: Callable[..., AwsDerived], body: bytes) -> MintError:
    """Have a service answer so, in vain; the error tells nothing of the answer or of what signed the request."""
    with Rogue(reply(body)) as aws:
        error = failure(make(endpoint_url=aws.url))
    told = story(error)
    assert [hidden for hidden in (CANARY, SECRET_KEY, SESSION, PASSWORD, TOKEN) if hidden in told] == []
    return error


def problems(kind: type[AwsDerived], **fields: Any) -> list[str]:
    """List what the configuration says about a source with these fields."""
    found = Problems()
    source = struct(kind, {"region": REGION, **fields}, "source", found)
    return found + (source.problems() if source else [])
