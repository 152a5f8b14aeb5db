"""Database users of Redshift, with a temporary password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Duration, seconds
from airflow_ephemeral_secrets.credential import AwsCredential, BasicCredential, Credential
from airflow_ephemeral_secrets.sources.aws_derived import AwsDerived, DatabaseUser, database_user
from airflow_ephemeral_secrets.sources.aws_errors import request_id
from airflow_ephemeral_secrets.sources.aws_issued import AwsIssued, taken
from airflow_ephemeral_secrets.sources.aws_role import word
from airflow_ephemeral_secrets.sources.base import Minting

_LOGIN = re.compile(r"[A-Za-z0-9_+=,.@:/-]{1,200}")

Cluster = Annotated[
    str,
    Meta(pattern=r"^[a-z](-?[a-z0-9]){0,62}(?!\n)$", description="the identifier of a Redshift cluster"),
]
Workgroup = Annotated[
    str, Meta(pattern=r"^[a-z0-9-]{3,64}(?!\n)$", description="the name of a Redshift Serverless workgroup")
]
Database = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_+.@-]{0,63}(?!\n)$",
        description="the name of a database: 1 to 64 letters, digits and _+.@-, the first a letter",
    ),
]


class AwsRedshift(AwsIssued, frozen=True, kw_only=True, tag="aws_redshift"):
    """
    Ask Redshift for a database user with a temporary password.

    A cluster is asked by ``GetClusterCredentials`` for the user that is named, which must exist, and by
    ``GetClusterCredentialsWithIAM`` for the one that belongs to the IAM identity where none is named; a workgroup of
    Redshift Serverless always answers with the latter (``GetCredentials``). A connection that is open stays open.

    :param cluster: the identifier of a cluster; or
    :param workgroup: the name of a workgroup
    :param database: the database to log on to
    :param username: the database user of a cluster
    :param region: where it is
    :param ttl: 15m to 1h
    """

    templates = (*AwsDerived.templates, "username")
    suspects = "the name and region of the cluster or workgroup, and the database"

    ttl: Duration = "15m"
    cluster: Cluster | None = None
    workgroup: Workgroup | None = None
    database: Database
    username: DatabaseUser | None = None

    def yields(self) -> type[Credential]:
        return BasicCredential

    @property
    def service(self) -> str:
        return "redshift" if self.cluster else "redshift-serverless"

    def problems(self) -> list[str]:
        found = super().problems()
        if bool(self.cluster) is bool(self.workgroup):
            found.append("cluster: required, or else a workgroup, and not both")
        if self.workgroup and self.username:
            found.append("username: does not go with workgroup, which names the user after the IAM identity")
        return found

    def mint(self, minting: Minting) -> Credential:
        username = minting.facts["username"] and database_user(minting.facts["username"])
        session = self.session(minting)
        if self.workgroup:
            answer = self._of_workgroup(self.workgroup, minting, session)
        else:
            answer = self._of_cluster(username, minting, session)
        user, password, end = taken(self.service, lambda: _database_login(answer, username))
        return BasicCredential(
            username=user,
            password=password,
            expires_at=self.until(end, minting, session, seconds(self.ttl)),
            principal=f"{session.principal} as {user}",
            request_id=request_id(answer.get("ResponseMetadata", {})),
        )

    def _of_cluster(self, username: str | None, minting: Minting, session: AwsCredential) -> Mapping[str, Any]:
        return self.ask(
            "GetClusterCredentials" if username else "GetClusterCredentialsWithIAM",
            f"{username or 'its own user'} on cluster {self.cluster}",
            minting,
            session,
            ClusterIdentifier=self.cluster,
            DbName=self.database,
            DurationSeconds=seconds(self.ttl),
            **({"DbUser": username} if username else {}),
        )

    def _of_workgroup(self, workgroup: str, minting: Minting, session: AwsCredential) -> Mapping[str, Any]:
        answer = self.ask(
            "GetCredentials",
            f"workgroup {workgroup}",
            minting,
            session,
            workgroupName=workgroup,
            dbName=self.database,
            durationSeconds=seconds(self.ttl),
        )
        return {f"{name[0].upper()}{name[1:]}": value for name, value in answer.items()}


def _database_login(answer: Mapping[str, Any], username: str | None) -> tuple[str, str, float]:
    """Read the answer of Redshift: it puts ``IAM:`` or the like before the name of the user."""
    user = answer["DbUser"]
    if not _LOGIN.fullmatch(user) or (username and user.rpartition(":")[2].lower() != username.lower()):
        raise ValueError
    return user, word(answer["DbPassword"]), answer["Expiration"].timestamp()
