"""AWS clients whose requests go through our bounded exchange, and AWS errors in our words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import CONNECT, READ, exchange

if TYPE_CHECKING:
    from boto3 import Session

Region = Annotated[
    str,
    Meta(pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$", max_length=30, description="an AWS region such as eu-west-1"),
]
Endpoint = Annotated[
    str,
    Meta(
        pattern=r"^(https://[^\s/?#@]+|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?)(/[^\s?#]*)?$",
        description="an https URL (http for loopback only)",
    ),
]

AMBIENT = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
)
"""What in the environment decides which identity this worker has."""

DOMAINS = {
    "aws-cn": "amazonaws.com.cn",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
    "aws-eusc": "amazonaws.eu",
}
PARTITIONS = {
    "cn": "aws-cn",
    "us-gov": "aws-us-gov",
    "us-iso": "aws-iso",
    "us-isob": "aws-iso-b",
    "us-isof": "aws-iso-f",
    "eu-isoe": "aws-iso-e",
    "eusc": "aws-eusc",
}

TRANSIENT = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "RequestTimeout",
        "RequestTimeoutException",
        "IDPCommunicationError",
        "InternalFailure",
        "InternalServiceError",
        "ServiceUnavailable",
    }
)
HINTS = {
    "AccessDenied": "the caller's sts:AssumeRole permission, the role's trust policy, external_id, and sts:TagSession "
    "or sts:SetSourceIdentity where tags, attribution or source_identity are used",
    "AccessDeniedException": "the permission of the worker's identity, and the resource policy",
    "InvalidClientTokenId": "the worker's access key: it is unknown or deactivated",
    "UnrecognizedClientException": "the worker's access key: it is unknown or deactivated",
    "SignatureDoesNotMatch": "the worker's secret access key, and this host's clock",
    "ExpiredToken": "the worker's own session: it has expired",
    "ExpiredTokenException": "the web identity token file: the token in it has expired",
    "InvalidIdentityToken": "the audience and issuer of the web identity token, and the identity provider in IAM",
    "PackedPolicyTooLarge": "a shorter policy, or fewer tags",
    "MalformedPolicyDocument": "the session policy: STS does not understand it",
    "RegionDisabledException": "activating STS in this region, or another region",
    "ValidationError": "a ttl within the role's maximum session duration (1 h where the worker itself runs as a role)",
    "ResourceNotFoundException": "the secret's name and region",
}


def ambient() -> Mapping[str, str]:
    """List the variables that decide which identity this worker has, as they stand."""
    return {name: value for name in AMBIENT if (value := os.environ.get(name))}


def partition(region: str) -> str:
    """
    Name the partition of a region.

    :param region: such as ``eu-west-1``
    """
    words = region.split("-")
    return PARTITIONS.get("-".join(words[:2])) or PARTITIONS.get(words[0]) or "aws"


def domain(region: str) -> str:
    """Name the DNS domain of a region's endpoints."""
    return DOMAINS.get(partition(region), "amazonaws.com")


def session(profile: str | None, region: str) -> Session:
    """
    Open an AWS session with the worker's own identity.

    :raises SourceUnavailable: when boto3 or the profile is missing
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError:
        raise SourceUnavailable(
            "the package boto3 is not installed on this worker",
            code="package_missing",
            hint="pip install 'airflow-ephemeral-secrets[aws]'",
        ) from None
    try:
        return boto3.Session(profile_name=profile, region_name=region)
    except BotoCoreError as error:
        raise SourceUnavailable(
            f"the worker's AWS configuration cannot be used ({type(error).__name__})"
            + (f" with profile {profile}" if profile else ""),
            code="aws_configuration",
        ) from None


def client(
    service: str,
    *,
    region: str,
    profile: str | None,
    endpoint_url: str | None,
    network: Network,
    deadline: Deadline,
    signed: bool = True,
) -> Any:
    """
    Make a client that never retries by itself, whose every request is one bounded exchange.

    :param signed: False for calls that prove themselves otherwise
    :raises SourceUnavailable: when boto3, the profile or the worker's identity is missing
    """
    base = session(profile, region)
    from botocore import UNSIGNED
    from botocore.awsrequest import AWSResponse
    from botocore.config import Config

    if signed:
        identity(base)
    made = base.client(
        service,
        endpoint_url=endpoint_url,
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT,
            read_timeout=READ,
            proxies={},
            user_agent_extra="airflow-ephemeral-secrets",
            signature_version=None if signed else UNSIGNED,
        ),
    )

    def send(request: Any, **_: Any) -> AWSResponse:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers = {name: _text(value) for name, value in request.headers.items()}
        answer = exchange(request.method, request.url, headers=headers, body=body, network=network, deadline=deadline)
        return AWSResponse(request.url, answer.status, answer.headers, _Raw(answer.body))

    made.meta.events.register_last("before-send", send)
    return made


def identity(base: Session) -> Any:
    """
    Find the worker's own credentials.

    :raises SourceUnavailable: when this worker has none
    """
    from botocore.exceptions import BotoCoreError

    try:
        found = base.get_credentials()
        if found and found.get_frozen_credentials().access_key:
            return found
        reason = "no credentials found"
    except BotoCoreError as error:
        reason = type(error).__name__
    raise SourceUnavailable(
        f"this worker has no AWS identity ({reason})",
        code="no_identity",
        hint="an instance, pod or task role, AWS_* variables, or a profile",
    )


def call(request: Callable[[], Mapping[str, Any]], what: str) -> Mapping[str, Any]:
    """
    Make one call and put its errors into our words.

    :param request: the call
    :param what: the action and its object, for messages
    """
    from botocore.exceptions import ClientError, HTTPClientError, ParamValidationError

    try:
        return request()
    except ClientError as error:
        raise _error(error, what) from None
    except HTTPClientError as error:
        inner = error.kwargs.get("error")
        if isinstance(inner, MintError):
            raise type(inner)(f"{what}: {inner.message}", code=inner.code, hint=inner.hint) from None
        raise SourceFailed(f"{what}: no answer ({type(error).__name__})", code="unreachable") from None
    except MintError as error:
        raise type(error)(f"{what}: {error.message}", code=error.code, hint=error.hint) from None
    except ParamValidationError:
        raise SourceRefused(f"{what}: AWS does not accept these parameters", code="ParamValidation") from None
    except Exception as error:  # botocore's parsers raise whatever an unexpected body leads them to
        raise SourceFailed(
            f"{what}: an answer that makes no sense ({type(error).__name__})", code="bad_answer"
        ) from None


def _error(error: Any, what: str) -> MintError:
    """
    Classify what AWS answered; its message is left out, for it may repeat what was sent.

    A code that does not look like one comes from a body that is not AWS's, and is left out too.
    """
    metadata = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    known = (
        code if code.isascii() and code.replace(".", "").isalnum() and len(code) <= 60 and not code.isdigit() else ""
    )
    code = known or f"HTTP {status}"
    request_id = str(metadata.get("RequestId") or "")
    details: dict[str, Any] = {
        "code": code,
        "hint": HINTS.get(code),
        "request_id": request_id if request_id.replace("-", "").isalnum() and len(request_id) <= 80 else None,
    }
    message = f"{what}: AWS answered {status} {known}".rstrip()
    if status == 429 or status >= 500 or code in TRANSIENT:
        retry_after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        details["retry_after"] = float(retry_after) if retry_after.isdigit() and len(retry_after) < 6 else None
        return SourceFailed(message, **details)
    if not known:
        return SourceFailed(message + ", which is not an answer of AWS", **details)
    return SourceRefused(message, **details)


class _Raw:
    """The body of an answer, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]

    def read(self, *_: Any) -> bytes:
        return self._body


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def compact(policy: Mapping[str, Any]) -> str:
    """Write a policy as the shortest JSON."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
