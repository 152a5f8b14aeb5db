"""What tokens made from an AWS session have in common: whose session it is, and how long the token may be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import Annotated, ClassVar

from msgspec import Meta

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import seconds
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources import aws_client, aws_role
from airflow_ephemeral_secrets.sources.aws_client import Region
from airflow_ephemeral_secrets.sources.aws_role import FACT, SHORTEST, ExternalId, RoleArn
from airflow_ephemeral_secrets.sources.base import Minting, Source

SLACK = 900.0
"""Seconds by which the clocks of both sides may differ: AWS refuses a signature that is further off."""

_DATABASE_USER = re.compile(r"[A-Za-z0-9_+.@-]{1,63}")

DatabaseUser = Annotated[
    str,
    Meta(
        pattern=rf"^([A-Za-z0-9_+.@-]|{FACT}){{1,63}}(?!\n)$",
        description="1 to 63 letters, digits and _+.@-, or {dag_id} and the like",
    ),
]


class AwsDerived(Source, frozen=True, kw_only=True):
    """
    Make a token from an AWS session: that of a role, or the worker's own.

    :param region: where the service is
    :param role_arn: the role to make it as; without one the worker's own identity makes it
    :param external_id: what the role's trust policy may demand
    :param profile: a profile of the worker's AWS configuration
    :param attribution: how finely the role's session names the caller in CloudTrail; finer means more mints; without
        ``role_arn`` there is nothing to name it in, and all callers share
    """

    templates: ClassVar[tuple[str, ...]] = ("role_arn", "external_id")
    lives: ClassVar[tuple[str, str]] = ("15m", "1h")
    """The shortest and longest ttl."""

    region: Region
    role_arn: RoleArn | None = None
    external_id: ExternalId | None = None
    profile: str | None = None

    def ambient(self) -> Mapping[str, str]:
        return aws_client.ambient()

    def endpoints(self) -> list[str]:
        return [aws_role.endpoint(self.region)] if self.role_arn else []

    def stamp(self, caller: Caller) -> Mapping[str, str]:
        return caller.stamp(self.attribution) if self.role_arn else {}

    def problems(self) -> list[str]:
        shortest, longest = self.lives
        found = []
        if not seconds(shortest) <= seconds(self.ttl) <= seconds(longest):
            found.append(f"ttl: {self.kind} takes {shortest} to {longest}, got {self.ttl!r}")
        if self.role_arn:
            found += aws_role.misplaced(self.role_arn, self.region)
        elif self.external_id:
            found.append("external_id: is of no use without role_arn")
        return found

    def session(self, minting: Minting, endpoint_url: str | None = None) -> AwsCredential:
        """
        Open the session that makes the token.

        :param endpoint_url: a private endpoint of STS
        :raises SourceUnavailable: when this worker has no identity
        :raises SourceRefused: when STS says no
        :raises SourceFailed: when STS does not answer in time, or not with sense
        """
        if not self.role_arn:
            return aws_client.worker(self.profile, self.region).credential
        request = aws_role.request(minting, max(SHORTEST, seconds(self.ttl)))
        return aws_role.assume(request, minting, region=self.region, profile=self.profile, endpoint_url=endpoint_url)

    def until(self, end: float, minting: Minting, session: AwsCredential, life: float) -> float:
        """
        Say how long the token may be used: never past its ttl or the session that made it.

        :param end: when the provider lets it end, in epoch seconds
        :param life: seconds that it lives by what was asked for
        :raises SourceFailed: when that end is further off than the clocks of both sides can explain
        """
        asked = minting.asked.wall
        if end - asked > life + SLACK:
            raise SourceFailed(
                f"{self.kind}: a token that ends {end - asked:.0f} s after it was asked for, not within {life:.0f} s",
                code="bad_lifetime",
                hint="this host's clock",
            )
        return min(end, asked + seconds(self.ttl), session.expires_at or inf)


def database_user(name: str) -> str:
    """
    Check what the caller's facts made of a database user.

    :raises SourceRefused: when it is not 1 to 63 characters of those that all databases take as they are
    """
    if not _DATABASE_USER.fullmatch(name):
        raise SourceRefused(
            "username has not 1 to 63 letters, digits and _+.@-", code="bad_username", hint="a shorter template"
        )
    return name
