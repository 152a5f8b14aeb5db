"""Requests signed for AWS (Signature Version 4), as they will be sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.sources.silence import silence

UNRESERVED = "-_.~"
OF_S3 = frozenset({"s3", "s3-object-lambda", "s3-outposts"})
"""Services that read a path as it is; all others encode it once more, without dots and empty segments."""


def canonical_target(target: str) -> str:
    """
    Write a path and query as AWS reads them, so that what is signed is what is sent.

    Every segment, name and value is percent-encoded once (RFC 3986), byte for byte; a ``+`` in the query is a space, an
    encoded slash stays one, and repeated, empty and bare parameters stay what they are.

    :param target: as a client put it on the wire
    """
    path, mark, query = target.partition("?")
    segments = "/".join(map(_once, path.split("/")))
    pairs = "&".join(
        f"{_once(name)}={_once(value)}"
        for name, _, value in (pair.partition("=") for pair in query.replace("+", "%20").split("&") if pair)
    )
    return f"{segments}{mark if pairs else ''}{pairs}"


def _once(text: str) -> str:
    return quote(unquote_to_bytes(text), safe=UNRESERVED)


def signature(
    method: str,
    url: str,
    headers: Mapping[str, str],
    sha256: str,
    credential: AwsCredential,
    *,
    service: str,
    region: str,
) -> dict[str, str]:
    """
    Sign a request.

    :param url: whole, its path and query canonical
    :param headers: those that the signature covers besides the host and its own
    :param sha256: of the body, in hex
    :return: the headers to add
    """
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    keys = ReadOnlyCredentials(credential.access_key_id, credential.secret_access_key, credential.session_token)
    request = AWSRequest(method, url, headers={**headers, "X-Amz-Content-SHA256": sha256})
    request.context["sha256"] = sha256
    # it logs what it signs, token and all, and only then is it worth being silenced
    with silence("botocore") if logging.getLogger("botocore.auth").isEnabledFor(logging.DEBUG) else nullcontext():
        _signer(service)(keys, service, region).add_auth(request)
    return {name: value for name, value in request.headers.items() if name.lower() not in headers}


@cache
def _signer(service: str) -> Any:
    from botocore.auth import S3SigV4Auth, SigV4Auth

    class OfS3(S3SigV4Auth):  # type: ignore[misc]  # botocore carries no types
        def payload(self, request: Any) -> Any:
            return request.context["sha256"]

    return OfS3 if service in OF_S3 else SigV4Auth
