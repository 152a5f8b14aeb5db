"""Credentials of AWS: a role assumed at STS, or the worker's own identity, frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.caller import Attribution
from airflow_ephemeral_secrets.clock import Duration, seconds
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import SourceRefused
from airflow_ephemeral_secrets.sources import aws_client, aws_role
from airflow_ephemeral_secrets.sources.aws_client import Region, Service
from airflow_ephemeral_secrets.sources.aws_role import FACT, LONGEST, SHORTEST, ExternalId, RoleArn
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Source
from airflow_ephemeral_secrets.sources.files import AbsolutePath, read_text

LONGEST_POLICY = 2_048
LONGEST_TOKEN = 20_000
MOST_TAGS = 50

_SOURCE_IDENTITY = re.compile(r"(?!aws:)[A-Za-z0-9_+=,.@-]{2,64}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")

SourceIdentity = Annotated[
    str,
    Meta(
        pattern=rf"^(?!aws:)(?=[^\n]{{2}})([A-Za-z0-9_+=,.@-]|{FACT}){{1,64}}(?!\n)$",
        description="2 to 64 letters, digits and _+=,.@-, or {dag_id} and the like",
    ),
]
TagKey = Annotated[
    str,
    Meta(
        pattern=r"^(?![aA][wW][sS]:)[\w .:/=+@-]{1,128}(?!\n)$",
        description="a tag key of 1 to 128 letters, digits, spaces and _.:/=+@-",
    ),
]
TagValue = Annotated[
    str,
    Meta(
        pattern=rf"^([\w .:/=+@-]|{FACT}){{0,256}}(?!\n)$",
        description="at most 256 letters, digits, spaces and _.:/=+@-, or {dag_id} and the like",
    ),
]
PolicyArn = Annotated[
    str,
    Meta(
        pattern=r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[!-~]{1,512}(?!\n)$",
        description="the ARN of a managed policy",
    ),
]


class AwsAssumeRole(Source, frozen=True, kw_only=True, tag="aws_assume_role"):
    """
    Assume a role at STS (``AssumeRole``, or ``AssumeRoleWithWebIdentity`` where a token file is given).

    :param role_arn: the role; placeholders give each Dag or team its own
    :param region: whose STS endpoint is asked
    :param ttl: 15m to 12h; at most 1h where the worker itself runs as a role (role chaining)
    :param external_id: what the role's trust policy may demand
    :param policy: an inline session policy, which narrows the role
    :param policy_arns: managed session policies
    :param tags: session tags
    :param transitive_tags: keys of tags that pass on to further roles
    :param source_identity: stays in CloudTrail through all further roles
    :param web_identity_token_file: a token that proves the worker instead of AWS credentials (IRSA and the like)
    :param profile: a profile of the worker's AWS configuration
    :param endpoint_url: a private endpoint of STS
    """

    templates = ("role_arn", "external_id", "policy", "tags", "source_identity")

    role_arn: RoleArn
    region: Region
    external_id: ExternalId | None = None
    policy: dict[str, Any] | None = None
    policy_arns: Annotated[list[PolicyArn], Meta(max_length=10)] = []
    tags: Annotated[dict[TagKey, TagValue], Meta(max_length=MOST_TAGS)] = {}
    transitive_tags: Annotated[list[TagKey], Meta(max_length=MOST_TAGS)] = []
    source_identity: SourceIdentity | None = None
    web_identity_token_file: AbsolutePath | None = None
    profile: str | None = None
    endpoint_url: Endpoint | None = None

    def yields(self) -> type[Credential]:
        return AwsCredential

    def ambient(self) -> Mapping[str, str]:
        return {} if self.web_identity_token_file else aws_client.ambient()

    def endpoints(self) -> list[str]:
        return [self.endpoint_url or aws_role.endpoint(self.region)]

    def problems(self) -> list[str]:
        found = []
        if not SHORTEST <= seconds(self.ttl) <= LONGEST:
            found.append(f"ttl: STS accepts 15m to 12h, got {self.ttl!r}")
        found += aws_role.misplaced(self.role_arn, self.region)
        if self.policy and len(aws_client.compact(self.policy)) > LONGEST_POLICY:
            found.append(f"policy: is longer than {LONGEST_POLICY} characters")
        found += [f"transitive_tags: {key!r} is not among tags" for key in self.transitive_tags if key not in self.tags]
        keys = [key.lower() for key in self.tags]
        found += [
            f"tags.{key}: stands twice but for its case" for at, key in enumerate(self.tags) if keys[at] in keys[:at]
        ]
        if self.web_identity_token_file:
            found += [
                f"{name}: does not go with web_identity_token_file"
                for name in ("external_id", "tags", "transitive_tags", "source_identity", "profile")
                if getattr(self, name)
            ]
        return found

    def mint(self, minting: Minting) -> Credential:
        facts = minting.facts
        request = aws_role.request(minting, seconds(self.ttl))
        _check(facts)
        if facts["policy"]:
            request["Policy"] = aws_client.compact(facts["policy"])
        if self.policy_arns:
            request["PolicyArns"] = [{"arn": arn} for arn in self.policy_arns]
        if self.web_identity_token_file:
            return self._with_web_identity(request, minting, self.web_identity_token_file)
        if facts["source_identity"]:
            request["SourceIdentity"] = facts["source_identity"]
        if facts["tags"]:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in facts["tags"].items()]
            request["TransitiveTagKeys"] = list(self.transitive_tags)
        return aws_role.assume(
            request, minting, region=self.region, profile=self.profile, endpoint_url=self.endpoint_url
        )

    def _with_web_identity(self, request: dict[str, Any], minting: Minting, path: str) -> Credential:
        request["WebIdentityToken"] = read_text(path, LONGEST_TOKEN, "web identity token file")
        sts = Service(
            "sts",
            region=self.region,
            profile=self.profile,
            endpoint_url=self.endpoint_url,
            network=minting.network,
            deadline=minting.deadline,
            signed=False,
            stamp=minting.stamp,
        )
        what = f"sts:AssumeRoleWithWebIdentity of {request['RoleArn']}"
        return aws_role.granted(sts.call("assume_role_with_web_identity", what, **request), request, minting)


class AwsSession(Source, frozen=True, kw_only=True, tag="aws_session"):
    """
    Freeze the worker's own AWS identity, for signing or a plain ``aws`` connection.

    :param region: the session's region
    :param profile: a profile of the worker's AWS configuration
    :param ttl: how long keys that do not expire are held
    """

    ttl: Duration = "15m"
    attribution: Attribution = "none"
    region: Region
    profile: str | None = None

    def yields(self) -> type[Credential]:
        return AwsCredential

    def ambient(self) -> Mapping[str, str]:
        return aws_client.ambient()

    def mint(self, minting: Minting) -> Credential:
        return aws_client.worker(self.profile, self.region).credential


def _check(facts: Mapping[str, Any]) -> None:
    """Refuse, before the call, what the caller's facts made of the templates."""
    if facts["source_identity"] and not _SOURCE_IDENTITY.fullmatch(facts["source_identity"]):
        raise SourceRefused("source_identity has not 2 to 64 of the characters STS accepts", code="bad_source_identity")
    for key, value in facts["tags"].items():
        if not _TAG_VALUE.fullmatch(value):
            raise SourceRefused(f"the value of tag {key} is longer than 256 or holds other characters", code="bad_tag")
    if facts["policy"] and len(aws_client.compact(facts["policy"])) > LONGEST_POLICY:
        raise SourceRefused(f"the session policy is longer than {LONGEST_POLICY} characters", code="bad_policy")
