"""AWS clients whose requests go through our bounded exchange, and AWS errors in our words."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import CONNECT, READ, exchange

if TYPE_CHECKING:
    from boto3 import Session

Region = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}(?!\n)$", max_length=30, description="an AWS region such as eu-west-1"
    ),
]
T = TypeVar("T")

_CODE = re.compile(r"(?=[A-Za-z.]*[A-Z])[A-Za-z][A-Za-z0-9.]{2,59}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,80}")
_SECONDS = re.compile(r"[0-9]{1,5}")
_calling: ContextVar[bool] = ContextVar("_calling", default=False)

AMBIENT = (
    "HOME",
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
    "AccessDenied": "the worker's sts:AssumeRole permission, the role's trust policy, external_id, and sts:TagSession "
    "or sts:SetSourceIdentity where tags or source_identity are used",
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
    except ModuleNotFoundError:
        raise SourceUnavailable(
            "the package boto3 is not installed on this worker",
            code="package_missing",
            hint="pip install 'airflow-ephemeral-secrets[aws]'",
        ) from None

    def made() -> Session:
        new = boto3.Session(profile_name=profile, region_name=region)
        # there is no public way to it, and an old setting of the worker's must not send us to the global endpoint
        new._session.set_config_variable("sts_regional_endpoints", "regional")
        return new

    return configured(made, profile)


def configured(make: Callable[[], T], profile: str | None) -> T:
    """
    Make something by the worker's AWS configuration.

    :raises SourceUnavailable: when its files or variables lead botocore astray
    """
    try:
        with _silence():
            return make()
    except Exception as error:  # botocore has a class for some faults, and lets others through as they come
        reason = type(error).__name__
    raise SourceUnavailable(
        f"the worker's AWS configuration cannot be used ({reason})" + (f" with profile {profile}" if profile else ""),
        code="aws_configuration",
    )


class Service:
    """
    A client of one AWS service that never retries by itself, whose every request is one bounded exchange.

    :param name: the service, as boto3 names it
    :param signed: False for calls that prove themselves otherwise
    :raises SourceUnavailable: when boto3, the profile or the worker's identity is missing
    """

    def __init__(
        self,
        name: str,
        *,
        region: str,
        profile: str | None,
        endpoint_url: str | None,
        network: Network,
        deadline: Deadline,
        signed: bool = True,
    ) -> None:
        self._network = network
        self._deadline = deadline
        self._status = 0
        base = session(profile, region)
        from botocore import UNSIGNED
        from botocore.config import Config

        if signed:
            identity(base)
        config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT,
            read_timeout=READ,
            proxies={},
            user_agent_extra="airflow-ephemeral-secrets",
            signature_version=None if signed else UNSIGNED,
        )
        self._client = configured(lambda: base.client(name, endpoint_url=endpoint_url, config=config), profile)
        self._client.meta.events.register_last("before-send", self._send)

    def call(self, operation: str, what: str, **parameters: Any) -> Mapping[str, Any]:
        """
        Make one call, with errors in our words.

        They are raised outside of the handler, so that nothing of botocore's error, which holds what AWS wrote,
        travels with them.

        :param operation: as boto3 names it
        :param what: the action and its object, for messages
        :raises SourceRefused: when AWS says no
        :raises SourceFailed: when it does not answer in time, or not with sense
        """
        from botocore.exceptions import ClientError, HTTPClientError, ParamValidationError

        try:
            with _silence():
                answer: Mapping[str, Any] = getattr(self._client, operation)(**parameters)
                return answer
        except ClientError as error:
            failure = _error(error.response, what)
        except HTTPClientError as error:
            failure = _unanswered(error.kwargs.get("error"), what)
        except MintError as error:
            failure = _unanswered(error, what)
        except ParamValidationError:
            failure = SourceRefused(f"{what}: AWS does not accept these parameters", code="ParamValidation")
        except Exception as error:  # botocore's parsers raise whatever an unexpected body leads them to
            failure = _nonsense(type(error).__name__, self._status, what)
        raise failure

    def _send(self, request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers = {name: _text(value) for name, value in request.headers.items()}
        answer = exchange(
            request.method, request.url, headers=headers, body=body, network=self._network, deadline=self._deadline
        )
        self._status = answer.status
        return AWSResponse(request.url, answer.status, answer.headers, _Raw(answer.body))


def identity(base: Session) -> Any:
    """
    Find the worker's own credentials.

    :raises SourceUnavailable: when this worker has none
    """
    try:
        with _silence():
            found = base.get_credentials()
            if found and found.get_frozen_credentials().access_key:
                return found
        reason = "no credentials found"
    except Exception as error:  # whatever the files, variables and metadata endpoints of AWS lead botocore to
        reason = type(error).__name__
    raise SourceUnavailable(
        f"this worker has no AWS identity ({reason})",
        code="no_identity",
        hint="an instance, pod or task role, AWS_* variables, or a profile",
    )


def request_id(metadata: Mapping[str, Any]) -> str | None:
    """Take the request id of an answer, if it looks like one."""
    found = str(metadata.get("RequestId") or "")
    return found if _REQUEST_ID.fullmatch(found) else None


def _unanswered(error: object, what: str) -> MintError:
    if isinstance(error, MintError):
        return type(error)(f"{what}: {error.message}", code=error.code, hint=error.hint)
    return SourceFailed(f"{what}: no answer ({type(error).__name__})", code="unreachable")


def _nonsense(name: str, status: int, what: str) -> MintError:
    if status >= 400:
        return SourceFailed(f"{what}: {status} from something that is not AWS", code=f"HTTP {status}")
    return SourceFailed(f"{what}: an answer that makes no sense ({name})", code="bad_answer")


def _error(response: Mapping[str, Any], what: str) -> MintError:
    """
    Classify what AWS answered; its message is left out, for it may repeat what was sent.

    A code that does not look like one comes from a body that is not AWS's, and is left out too.
    """
    metadata = response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code = response.get("Error", {}).get("Code")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return _nonsense("", status, what)
    details: dict[str, Any] = {"code": code, "hint": HINTS.get(code), "request_id": request_id(metadata)}
    message = f"{what}: AWS answered {status} {code}"
    if status == 429 or status >= 500 or code in TRANSIENT:
        retry_after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        details["retry_after"] = float(retry_after) if _SECONDS.fullmatch(retry_after) else None
        return SourceFailed(message, **details)
    return SourceRefused(message, **details)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep botocore's loggers quiet during our calls: they write down what is sent and what comes back."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("botocore", "boto3"):
            logging.getLogger(name).addFilter(_not_ours)
    calling = _calling.set(True)
    try:
        yield
    finally:
        _calling.reset(calling)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _calling.get()


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
    """Write a policy as the shortest JSON in ASCII, which is all that STS accepts."""
    return json.dumps(policy, separators=(",", ":"))
