"""The few long-lived things a client needs to prove itself, read by reference."""

from __future__ import annotations

import json
import os
from typing import Annotated

from msgspec import Meta

from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources.aws_client import Region, Service, domain
from airflow_ephemeral_secrets.sources.base import Endpoint, Network, SecretReference
from airflow_ephemeral_secrets.sources.files import AbsolutePath, read_text

LARGEST = 64 * 1024


class EnvironmentReference(SecretReference, frozen=True, kw_only=True, tag="env"):
    """
    Read an environment variable of the worker.

    :param name: the variable
    """

    at_hand = True

    name: Annotated[str, Meta(pattern=r"^[^=\x00\n]+(?!\n)$", description="the name of an environment variable")]

    def read(self, network: Network, deadline: Deadline) -> str:
        value = os.environ.get(self.name, "")
        if not value:
            raise SourceUnavailable(
                f"environment variable {self.name} is not set on this worker", code="secret_missing"
            )
        return value


class FileReference(SecretReference, frozen=True, kw_only=True, tag="file"):
    """
    Read a file, such as a projected Kubernetes secret; one newline at its end is not part of the secret.

    :param path: an absolute path
    """

    at_hand = True

    path: AbsolutePath

    def read(self, network: Network, deadline: Deadline) -> str:
        return read_text(self.path, LARGEST, "secret file")


class AwsSecretsManagerReference(SecretReference, frozen=True, kw_only=True, tag="aws_secrets_manager"):
    """
    Read a secret from AWS Secrets Manager with the worker's own identity (``GetSecretValue``).

    :param secret_id: its name or ARN
    :param json_key: the member to take where the secret is a JSON object
    :param region: where it lies
    :param profile: a profile of the worker's AWS configuration
    :param endpoint_url: a private endpoint
    """

    secret_id: str
    json_key: str | None = None
    region: Region
    profile: str | None = None
    endpoint_url: Endpoint | None = None

    def endpoints(self) -> list[str]:
        return [self.endpoint_url or f"https://secretsmanager.{self.region}.{domain(self.region)}"]

    def read(self, network: Network, deadline: Deadline) -> str:
        manager = Service(
            "secretsmanager",
            region=self.region,
            profile=self.profile,
            endpoint_url=self.endpoint_url,
            network=network,
            deadline=deadline,
        )
        what = f"secretsmanager:GetSecretValue of {self.secret_id}"
        answer = manager.call("get_secret_value", what, SecretId=self.secret_id)
        value = answer.get("SecretString")
        if "Name" not in answer:
            raise SourceFailed(f"{what}: an answer that makes no sense", code="bad_answer")
        if not isinstance(value, str) or not value:
            raise SourceUnavailable(f"{what}: it holds no text", code="secret_missing")
        return member(value, self.json_key, what) if self.json_key else value


def member(text: str, key: str, what: str) -> str:
    """
    Take one member of a secret that is a JSON object.

    :param what: the secret, for messages
    :raises SourceUnavailable: when it is not one, or holds no text under this key
    """
    try:
        value = json.loads(text).get(key)
    except (ValueError, AttributeError, RecursionError):
        value = None
    if not isinstance(value, str) or not value:
        raise SourceUnavailable(f"{what}: it is not a JSON object with text under {key!r}", code="secret_missing")
    return value
