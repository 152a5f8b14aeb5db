"""
Those who ask for a token: our sources, and the SDKs of their clouds used plainly.

A process of this module is told on its standard input whom to ask, and says what became of it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Deadline
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import lease_key
from airflow_ephemeral_secrets.sources.base import Network, Source

ROLE = "arn:aws:iam::111122223333:role/reader"
SCOPE = "api://crm/.default"
DEADLINE = 2.0

Asks = Callable[[], object]


def aws(url: str) -> Source:
    from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole

    return AwsAssumeRole(role_arn=ROLE, region="eu-west-1", endpoint_url=url)


def azure(url: str) -> Source:
    from airflow_ephemeral_secrets.sources.azure import Azure

    os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = url
    return Azure(identity="managed", scope=SCOPE)


def google(url: str) -> Source:
    from airflow_ephemeral_secrets.sources.google import Google

    path = Path(tempfile.mkdtemp(), "key.json")
    path.write_text(json.dumps(key_file(url)))
    return Google(credentials_file=str(path))


def oauth2(url: str) -> Source:
    from airflow_ephemeral_secrets.reading import SecretName
    from airflow_ephemeral_secrets.sources.oauth2 import OAuth2

    return OAuth2(token_url=f"{url}/token", client_id="abc", client_secret=SecretName("client"))


def apigee(url: str) -> Source:
    from airflow_ephemeral_secrets.reading import SecretName
    from airflow_ephemeral_secrets.sources.apigee import Apigee

    return Apigee(token_url=f"{url}/token", client_id="abc", client_secret=SecretName("client"))


OURS: dict[str, Callable[[str], Source]] = {
    "aws": aws,
    "azure": azure,
    "google": google,
    "oauth2": oauth2,
    "apigee": apigee,
}


def ours(make: Callable[[str], Source]) -> Callable[[str], Asks]:
    """Ask as a lookup does, on a cold lease."""
    from airflow_ephemeral_secrets.testing import minting

    def prepare(url: str) -> Asks:
        source, network = make(url), Network(allow_endpoints=[url])
        cache, key = LeaseCache(SYSTEM_CLOCK, Random(), lambda: None), lease_key({"url": url})

        def ask() -> object:
            deadline = Deadline(SYSTEM_CLOCK, DEADLINE)

            def mint(asked: Any) -> Any:
                given = minting(source, asked=asked, network=network, secret=lambda _: "a-secret-of-a-client")
                return source.mint(msgspec.structs.replace(given, deadline=deadline))

            return cache.acquire(key, mint, deadline=deadline, hold=300)

        return ask

    return prepare


def botocore(url: str) -> Asks:
    """Assume a role with boto3."""
    import boto3

    client = boto3.client("sts", region_name="eu-west-1", endpoint_url=url)
    return lambda: client.assume_role(RoleArn=ROLE, RoleSessionName="benchmark")


def azure_identity(url: str) -> Asks:
    """Ask for a token of the managed identity with azure-identity."""
    from azure.identity import ManagedIdentityCredential

    os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = url
    credential = ManagedIdentityCredential()
    return lambda: credential.get_token(SCOPE)


def google_auth(url: str) -> Asks:
    """Ask for a token of a service account with google-auth."""
    from google.auth.transport.requests import Request
    from google.oauth2.service_account import Credentials

    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    credentials = Credentials.from_service_account_info(key_file(url), scopes=scopes)
    return lambda: credentials.valid or credentials.refresh(Request())


THEIRS: dict[str, Callable[[str], Asks]] = {
    "botocore": botocore,
    "azure-identity": azure_identity,
    "google-auth": google_auth,
}
CLIENTS = {**{f"our {name}": ours(make) for name, make in OURS.items()}, **THEIRS}


def key_file(url: str) -> dict[str, str]:
    """Make the key of a service account of nobody's."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65_537, 2_048)
    form = serialization.PrivateFormat.PKCS8
    return {
        "type": "service_account",
        "client_email": "airflow@a-project.iam.gserviceaccount.com",
        "private_key": key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
        "private_key_id": "1",
        "token_uri": f"{url}/token",
    }


def crowd(ask: Asks, count: int) -> str:
    """Ask from some threads at once; say what became of the last."""
    told: list[str] = []
    together = threading.Barrier(count)

    def one() -> None:
        together.wait()
        try:
            ask()
            told.append("granted")
        except Exception as error:
            told.append(getattr(error, "code", None) or type(error).__name__)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told[-1]


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Do what each line says: the name of a client, whom to ask, and from how many threads."""
    for line in sys.stdin:
        name, url, count = json.loads(line)
        ask = CLIENTS[name](url)
        gc.collect()
        before, start = _megabytes(), time.monotonic()
        told = crowd(ask, count)
        print(json.dumps([told, time.monotonic() - start, _megabytes() - before]), flush=True)


if __name__ == "__main__":
    main()
