"""Credentials of AWS: a role assumed at STS, or the worker's own identity, frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from airflow_ephemeral_secrets.caller import Attribution
from airflow_ephemeral_secrets.clock import Duration, seconds
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.errors import SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources import aws_client
from airflow_ephemeral_secrets.sources.aws_client import Region, Service
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Source
from airflow_ephemeral_secrets.sources.files import AbsolutePath, read_text

SHORTEST, LONGEST, LONGEST_CHAINED = 900, 43_200, 3_600
LONGEST_POLICY = 2_048
LONGEST_TOKEN = 20_000
LONGEST_ARN = 2_048
MOST_TAGS = 50
SESSION_NAME = 64

_FACT = r"\{(?:dag_id|task_id|run_id|team)\}"
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")
_ASSUMED = re.compile(r"arn:aws[a-z-]*:sts::[0-9]{12}:assumed-role/[\w+=,.@/-]{1,2000}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
_SOURCE_IDENTITY = re.compile(r"(?!aws:)[A-Za-z0-9_+=,.@-]{2,64}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
_HASHED = re.compile(r".*-[0-9a-f]{8}")
_ROLE_SESSIONS = frozenset(
    {"assume-role", "assume-role-with-web-identity", "iam-role", "container-role", "sso", "login"}
)

RoleArn = Annotated[
    str,
    Meta(
        pattern=rf"^arn:aws[a-z-]*:iam::([0-9]{{12}}|{_FACT}):role/([A-Za-z0-9_+=,.@/-]|{_FACT})+(?!\n)$",
        max_length=LONGEST_ARN,
        description="a role ARN such as arn:aws:iam::111122223333:role/reader-{dag_id}",
    ),
]
ExternalId = Annotated[
    str,
    Meta(
        pattern=rf"^(?=[^\n]{{2}})([A-Za-z0-9_+=,.@:/-]|{_FACT}){{1,1224}}(?!\n)$",
        description="2 to 1224 letters, digits and _+=,.@:/-, or {dag_id} and the like",
    ),
]
SourceIdentity = Annotated[
    str,
    Meta(
        pattern=rf"^(?!aws:)(?=[^\n]{{2}})([A-Za-z0-9_+=,.@-]|{_FACT}){{1,64}}(?!\n)$",
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
        pattern=rf"^([\w .:/=+@-]|{_FACT}){{0,256}}(?!\n)$",
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
        return [self.endpoint_url or f"https://sts.{self.region}.{aws_client.domain(self.region)}"]

    def problems(self) -> list[str]:
        found = []
        if not SHORTEST <= seconds(self.ttl) <= LONGEST:
            found.append(f"ttl: STS accepts 15m to 12h, got {self.ttl!r}")
        here, there = self.role_arn.split(":")[1], aws_client.partition(self.region)
        if here != there:
            found.append(f"role_arn: is of partition {here}, while region {self.region} is of {there}")
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
        request: dict[str, Any] = {
            "RoleArn": facts["role_arn"],
            "RoleSessionName": session_name(minting.stamp),
            "DurationSeconds": seconds(self.ttl),
        }
        if facts["policy"]:
            request["Policy"] = aws_client.compact(facts["policy"])
        if self.policy_arns:
            request["PolicyArns"] = [{"arn": arn} for arn in self.policy_arns]
        _check(facts)
        if self.web_identity_token_file:
            answer = self._with_web_identity(request, minting, self.web_identity_token_file)
        else:
            answer = self._with_worker_identity(request, minting)
        return _credential(answer, minting.asked.wall + seconds(self.ttl), facts["role_arn"])

    def _with_web_identity(self, request: dict[str, Any], minting: Minting, path: str) -> Mapping[str, Any]:
        request["WebIdentityToken"] = read_text(path, LONGEST_TOKEN, "web identity token file")
        sts = self._sts(minting, signed=False)
        what = f"sts:AssumeRoleWithWebIdentity of {request['RoleArn']}"
        return sts.call("assume_role_with_web_identity", what, **request)

    def _with_worker_identity(self, request: dict[str, Any], minting: Minting) -> Mapping[str, Any]:
        facts = minting.facts
        self._refuse_long_chain()
        if facts["external_id"]:
            request["ExternalId"] = facts["external_id"]
        if facts["source_identity"]:
            request["SourceIdentity"] = facts["source_identity"]
        if facts["tags"]:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in facts["tags"].items()]
            request["TransitiveTagKeys"] = list(self.transitive_tags)
        sts = self._sts(minting, signed=True)
        return sts.call("assume_role", f"sts:AssumeRole of {request['RoleArn']}", **request)

    def _refuse_long_chain(self) -> None:
        if seconds(self.ttl) <= LONGEST_CHAINED:
            return
        method = aws_client.identity(aws_client.session(self.profile, self.region)).method
        if method in _ROLE_SESSIONS:
            raise SourceRefused(
                f"ttl {self.ttl} is over 1h, the limit where the worker itself runs as a role ({method})",
                code="role_chaining",
                hint="ttl: 1h",
            )

    def _sts(self, minting: Minting, *, signed: bool) -> Service:
        return Service(
            "sts",
            region=self.region,
            profile=self.profile,
            endpoint_url=self.endpoint_url,
            network=minting.network,
            deadline=minting.deadline,
            signed=signed,
        )


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
        found = aws_client.identity(aws_client.session(self.profile, self.region))
        frozen = found.get_frozen_credentials()
        # botocore has no public name for the expiry of refreshable credentials; the AWS CLI reads the same attribute
        expiry = getattr(found, "_expiry_time", None)
        return AwsCredential(
            access_key_id=frozen.access_key,
            secret_access_key=frozen.secret_key,
            session_token=frozen.token,
            expires_at=expiry.timestamp() if expiry else None,
            principal=f"worker identity {frozen.access_key} ({found.method})",
        )


def session_name(stamp: Mapping[str, str]) -> str:
    """
    Name a role session after the caller: 2 to 64 letters, digits and ``_+=,.@-``.

    Two stamps never share a name: one that was changed or cut, or that another could be taken for, ends in 8 hex
    digits of its facts.

    :param stamp: the facts to name, in order
    """
    if not stamp:
        return "airflow"
    whole = ".".join(stamp.values())
    name = re.sub(r"[^A-Za-z0-9_+=,.@-]", "-", whole)
    clear = name != "airflow" and not _HASHED.fullmatch(name) and not any("." in value for value in stamp.values())
    if name == whole and clear and 2 <= len(name) <= SESSION_NAME:
        return name
    digest = sha256(msgspec.json.encode(dict(stamp), order="deterministic")).hexdigest()
    return f"{name[: SESSION_NAME - 9]}-{digest[:8]}"


def _check(facts: Mapping[str, Any]) -> None:
    """Refuse, before the call, what the caller's facts made of the templates."""
    if not _ROLE.fullmatch(facts["role_arn"]) or len(facts["role_arn"]) > LONGEST_ARN:
        raise SourceRefused(f"role_arn {facts['role_arn'][:100]} is not a role ARN", code="bad_role_arn")
    if facts["external_id"] and not _EXTERNAL_ID.fullmatch(facts["external_id"]):
        raise SourceRefused("external_id has not 2 to 1224 of the characters STS accepts", code="bad_external_id")
    if facts["source_identity"] and not _SOURCE_IDENTITY.fullmatch(facts["source_identity"]):
        raise SourceRefused("source_identity has not 2 to 64 of the characters STS accepts", code="bad_source_identity")
    for key, value in facts["tags"].items():
        if not _TAG_VALUE.fullmatch(value):
            raise SourceRefused(f"the value of tag {key} is longer than 256 or holds other characters", code="bad_tag")
    if facts["policy"] and len(aws_client.compact(facts["policy"])) > LONGEST_POLICY:
        raise SourceRefused(f"the session policy is longer than {LONGEST_POLICY} characters", code="bad_policy")


def _credential(answer: Mapping[str, Any], latest: float, role_arn: str) -> AwsCredential:
    """Take what STS answered; expiry is the earlier of what was asked and what it says, for our clock may be behind."""
    credential = None
    with suppress(KeyError, TypeError, AttributeError, ValueError, OverflowError):
        given = answer["Credentials"]
        credential = AwsCredential(
            access_key_id=_word(given["AccessKeyId"]),
            secret_access_key=_word(given["SecretAccessKey"]),
            session_token=_word(given["SessionToken"]),
            expires_at=min(given["Expiration"].timestamp(), latest),
            principal=_principal(answer["AssumedRoleUser"]["Arn"]),
            request_id=aws_client.request_id(answer.get("ResponseMetadata", {})),
        )
    if credential is None:
        raise SourceFailed(
            f"sts: the answer for {role_arn} is not a set of credentials with an expiry", code="bad_answer"
        )
    return credential


def _principal(value: Any) -> str:
    if not isinstance(value, str) or not _ASSUMED.fullmatch(value):
        raise ValueError
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError
    return value
