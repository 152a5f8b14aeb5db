"""Tokens that a service of AWS issues to an AWS session: how it is asked, and how its answer is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import SourceFailed
from airflow_ephemeral_secrets.sources import aws_client
from airflow_ephemeral_secrets.sources.aws_client import Service
from airflow_ephemeral_secrets.sources.aws_derived import AwsDerived
from airflow_ephemeral_secrets.sources.aws_errors import HINTS
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting

T = TypeVar("T")

HOSTS = {"ecr": "api.ecr"}
"""Where a service's endpoint is not named after it."""
UNKNOWN = (
    "ClusterNotFound",
    "InvalidParameterException",
    "InvalidParameterValue",
    "ResourceNotFoundException",
    "ValidationError",
    "ValidationException",
)
"""Codes by which services say that they do not know what they are asked for."""


class AwsIssued(AwsDerived, frozen=True, kw_only=True):
    """
    Ask a service of AWS for a token.

    :param endpoint_url: a private endpoint of that service; for that of STS there is ``AWS_ENDPOINT_URL_STS``
    """

    suspects: ClassVar[str]
    """What is likely wrong where the service does not know what it is asked for."""

    endpoint_url: Endpoint | None = None

    @property
    def service(self) -> str:
        """The service, as boto3 and IAM name it."""
        raise NotImplementedError

    def endpoints(self) -> list[str]:
        host = f"{HOSTS.get(self.service, self.service)}.{self.region}.{aws_client.domain(self.region)}"
        return [*super().endpoints(), self.endpoint_url or f"https://{host}"]

    def ask(
        self, action: str, of: str, minting: Minting, session: AwsCredential, *, needs: str = "", **parameters: Any
    ) -> Mapping[str, Any]:
        """
        Make one call.

        :param action: as IAM names it
        :param of: its object, for messages
        :param needs: what must be allowed, where that is more than the action
        :raises SourceRefused: when AWS says no
        :raises SourceFailed: when it does not answer in time, or not with sense
        """
        from botocore import xform_name

        name = f"{self.service}:{action}"
        denied = f"allowing {session.principal} {needs or name}"
        client = Service(
            self.service,
            region=self.region,
            profile=self.profile,
            endpoint_url=self.endpoint_url,
            network=minting.network,
            deadline=minting.deadline,
            signer=session,
            hints={
                **dict.fromkeys(("AccessDenied", "AccessDeniedException"), denied),
                **dict.fromkeys(UNKNOWN, self.suspects),
                "ExpiredTokenException": HINTS["ExpiredToken"],
            },
        )
        return client.call(xform_name(action), f"{name} of {of}", **parameters)


def taken(service: str, take: Callable[[], T]) -> T:
    """
    Read an answer.

    :raises SourceFailed: when it lacks a part, or holds something else in its place
    """
    with suppress(LookupError, TypeError, AttributeError, ValueError, OverflowError):
        return take()
    raise SourceFailed(f"{service}: the answer is not a token with an expiry", code="bad_answer")
