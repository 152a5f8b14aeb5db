"""Roles assumed at STS: how they and their sessions are named, and what STS answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.caller import stamp_id
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources import aws_client, aws_errors
from airflow_ephemeral_secrets.sources.aws_client import Service
from airflow_ephemeral_secrets.sources.base import Minting

SHORTEST, LONGEST, LONGEST_CHAINED = 900, 43_200, 3_600
LONGEST_ARN = 2_048
SESSION_NAME = 64
FACT = r"\{(?:dag_id|task_id|run_id|team)\}"

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")
_ASSUMED = re.compile(r"arn:aws[a-z-]*:sts::[0-9]{12}:assumed-role/[\w+=,.@/-]{1,2000}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
_HASHED = re.compile(r".*-[0-9a-f]{8}")
_ROLE_SESSIONS = frozenset(
    {"assume-role", "assume-role-with-web-identity", "iam-role", "container-role", "sso", "login"}
)

RoleArn = Annotated[
    str,
    Meta(
        pattern=rf"^arn:aws[a-z-]*:iam::([0-9]{{12}}|{FACT}):role/([A-Za-z0-9_+=,.@/-]|{FACT})+(?!\n)$",
        max_length=LONGEST_ARN,
        description="a role ARN such as arn:aws:iam::111122223333:role/reader-{dag_id}",
    ),
]
ExternalId = Annotated[
    str,
    Meta(
        pattern=rf"^(?=[^\n]{{2}})([A-Za-z0-9_+=,.@:/-]|{FACT}){{1,1224}}(?!\n)$",
        description="2 to 1224 letters, digits and _+=,.@:/-, or {dag_id} and the like",
    ),
]


def misplaced(role_arn: str, region: str) -> list[str]:
    """Say that a role and a region do not belong together, if so."""
    here, there = role_arn.split(":")[1], aws_client.partition(region)
    return [] if here == there else [f"role_arn: is of partition {here}, while region {region} is of {there}"]


def endpoint(region: str) -> str:
    """Name the regional endpoint of STS."""
    return f"https://sts.{region}.{aws_client.domain(region)}"


def session_name(stamp: Mapping[str, str]) -> str:
    """
    Name a role session after the caller: 2 to 64 letters, digits and ``_+=,.@-``.

    Two stamps never share a name: one that was changed or cut, or that another could be taken for, ends in 8 hex
    digits of :func:`stamp_id`.

    :param stamp: the facts to name, in order
    """
    if not stamp:
        return "airflow"
    whole = ".".join(stamp.values())
    name = re.sub(r"[^A-Za-z0-9_+=,.@-]", "-", whole)
    clear = name != "airflow" and not _HASHED.fullmatch(name) and not any("." in value for value in stamp.values())
    if name == whole and clear and 2 <= len(name) <= SESSION_NAME:
        return name
    return f"{name[: SESSION_NAME - 9]}-{(stamp_id(stamp) or '')[:8]}"


def request(minting: Minting, duration: int) -> dict[str, Any]:
    """
    Begin a request for a role, by the facts ``role_arn`` and ``external_id``.

    :param duration: seconds to ask for
    :raises SourceRefused: when the caller's facts made something of them that STS would not take
    """
    role_arn, external_id = minting.facts["role_arn"], minting.facts["external_id"]
    if not _ROLE.fullmatch(role_arn) or len(role_arn) > LONGEST_ARN:
        raise SourceRefused(f"role_arn {role_arn[:100]} is not a role ARN", code="bad_role_arn")
    if external_id and not _EXTERNAL_ID.fullmatch(external_id):
        raise SourceRefused("external_id has not 2 to 1224 of the characters STS accepts", code="bad_external_id")
    named = {"RoleArn": role_arn, "RoleSessionName": session_name(minting.stamp), "DurationSeconds": duration}
    return {**named, "ExternalId": external_id} if external_id else named


def assume(
    request: Mapping[str, Any], minting: Minting, *, region: str, profile: str | None, endpoint_url: str | None
) -> AwsCredential:
    """
    Assume a role with the worker's own identity (``AssumeRole``).

    :param request: the parameters of the call
    :raises SourceUnavailable: when this worker has no identity
    :raises SourceRefused: when STS says no, or would, since the worker itself runs as a role
    :raises SourceFailed: when STS does not answer in time, or not with sense
    """
    _refuse_long_chain(request["DurationSeconds"], profile, region)
    sts = Service(
        "sts",
        region=region,
        profile=profile,
        endpoint_url=endpoint_url,
        network=minting.network,
        deadline=minting.deadline,
        stamp=minting.stamp,
    )
    return granted(sts.call("assume_role", f"sts:AssumeRole of {request['RoleArn']}", **request), request, minting)


def _refuse_long_chain(duration: int, profile: str | None, region: str) -> None:
    if duration <= LONGEST_CHAINED:
        return
    method = aws_client.worker(profile, region).method
    if method in _ROLE_SESSIONS:
        raise SourceRefused(
            f"a ttl of {duration} s is over 1h, the limit where the worker itself runs as a role ({method})",
            code="role_chaining",
            hint="ttl: 1h",
        )


def granted(answer: Mapping[str, Any], request: Mapping[str, Any], minting: Minting) -> AwsCredential:
    """
    Take what STS answered; expiry is the earlier of what was asked and what it says, for our clock may be behind.

    :raises SourceFailed: when it is not a set of credentials with an expiry
    """
    credential = None
    with suppress(KeyError, TypeError, AttributeError, ValueError, OverflowError):
        given = answer["Credentials"]
        credential = AwsCredential(
            access_key_id=word(given["AccessKeyId"]),
            secret_access_key=word(given["SecretAccessKey"]),
            session_token=word(given["SessionToken"]),
            expires_at=min(given["Expiration"].timestamp(), minting.asked.wall + request["DurationSeconds"]),
            principal=_principal(answer["AssumedRoleUser"]["Arn"]),
            request_id=aws_errors.request_id(answer.get("ResponseMetadata", {})),
        )
    if credential is None:
        raise SourceFailed(
            f"sts: the answer for {request['RoleArn']} is not a set of credentials with an expiry", code="bad_answer"
        )
    return credential


def _principal(value: Any) -> str:
    if not isinstance(value, str) or not _ASSUMED.fullmatch(value):
        raise ValueError
    return value


def word(value: Any) -> str:
    """
    Let through one word of visible ASCII, as a header can carry it.

    :raises ValueError: for anything else
    """
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError
    return value
