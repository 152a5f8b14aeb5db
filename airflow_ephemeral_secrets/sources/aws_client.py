"""AWS clients whose requests go through our bounded exchange, and the worker's own AWS identity."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import MintError, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources import aws_errors
from airflow_ephemeral_secrets.sources.base import Network, user_agent
from airflow_ephemeral_secrets.sources.exchange import CONNECT, READ, exchange
from airflow_ephemeral_secrets.sources.silence import silence

if TYPE_CHECKING:
    from boto3 import Session

Region = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}(?!\n)$", max_length=30, description="an AWS region such as eu-west-1"
    ),
]
T = TypeVar("T")

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
    "AWS_ENDPOINT_URL_CODEARTIFACT",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_REDSHIFT",
    "AWS_ENDPOINT_URL_REDSHIFT_SERVERLESS",
    "AWS_ENDPOINT_URL_STS",
)
"""What in the environment decides which identity this worker has, and whom it asks."""

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


_AMBIENT = tuple(map(os.fsencode, AMBIENT))
"""In bytes, as each lookup asks for them: ``os.environ`` would encode each name anew."""


def ambient() -> Mapping[str, str]:
    """List the variables that decide which identity this worker has, as they stand."""
    return {os.fsdecode(name): os.fsdecode(value) for name in _AMBIENT if (value := os.environb.get(name))}


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
        with silence("boto3", "botocore"):
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
    :param signer: who signs, where that is not the worker itself as the session has it
    :param stamp: facts about the caller, which CloudTrail keeps as part of the user agent
    :param hints: what to try for an error code of this service, where the usual hint would mislead
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
        signer: AwsCredential | None = None,
        stamp: Mapping[str, str] = {},
        hints: Mapping[str, str] = {},
    ) -> None:
        self._network = network
        self._deadline = deadline
        self._hints = hints
        self._status = 0
        base = session(profile, region)
        from botocore import UNSIGNED
        from botocore.config import Config

        if signed and not signer:
            identity(base)
        config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT,
            read_timeout=READ,
            proxies={},
            user_agent_extra=user_agent(stamp),
            signature_version=None if signed else UNSIGNED,
        )
        keys = {
            "aws_access_key_id": signer and signer.access_key_id,
            "aws_secret_access_key": signer and signer.secret_access_key,
            "aws_session_token": signer and signer.session_token,
        }
        self._client = configured(lambda: base.client(name, endpoint_url=endpoint_url, config=config, **keys), profile)
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
            with silence("boto3", "botocore"):
                answer: Mapping[str, Any] = getattr(self._client, operation)(**parameters)
                return answer
        except ClientError as error:
            failure = aws_errors.refusal(error.response, what, self._hints, parameters.get("RoleArn"))
        except HTTPClientError as error:
            failure = aws_errors.unanswered(error.kwargs.get("error"), what)
        except MintError as error:
            failure = aws_errors.unanswered(error, what)
        except ParamValidationError:
            failure = SourceRefused(f"{what}: AWS does not accept these parameters", code="ParamValidation")
        except Exception as error:  # botocore's parsers raise whatever an unexpected body leads them to
            failure = aws_errors.nonsense(type(error).__name__, self._status, what)
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


class Identity(NamedTuple):
    """The worker's own credentials, frozen, and how botocore found them."""

    credential: AwsCredential
    method: str


def identity(base: Session) -> Identity:
    """
    Find the worker's own credentials, with the expiry of those that end by themselves.

    :raises SourceUnavailable: when this worker has none
    """
    try:
        with silence("boto3", "botocore"):
            found = base.get_credentials()
            frozen = found and found.get_frozen_credentials()
        if frozen and frozen.access_key:
            # botocore has no public name for the expiry of refreshable credentials; the AWS CLI reads this one too
            expiry = getattr(found, "_expiry_time", None)
            credential = AwsCredential(
                access_key_id=frozen.access_key,
                secret_access_key=frozen.secret_key,
                session_token=frozen.token,
                expires_at=expiry.timestamp() if expiry else None,
                principal=f"worker identity {frozen.access_key} ({found.method})",
            )
            return Identity(credential, found.method)
        reason = "no credentials found"
    except Exception as error:  # whatever the files, variables and metadata endpoints of AWS lead botocore to
        reason = type(error).__name__
    raise SourceUnavailable(
        f"this worker has no AWS identity ({reason})",
        code="no_identity",
        hint="an instance, pod or task role, AWS_* variables, or a profile",
    )


def worker(profile: str | None, region: str) -> Identity:
    """
    Find the worker's own credentials by a profile.

    :raises SourceUnavailable: when boto3 or the profile is missing, or this worker has none
    """
    return identity(session(profile, region))


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
