"""Requests that a client signed (AWS Signature Version 4), verified by the key that it was given."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from airflow_ephemeral_secrets.live.face import Asked
from airflow_ephemeral_secrets.sources.silence import silence

SKEW = 300.0
DATE = "%Y%m%dT%H%M%SZ"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/([0-9]{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


class NotSigned(Exception):
    """Say why a signature proves nothing, with a code of AWS."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class Signer(NamedTuple):
    """
    Who signed a request, and for where.

    :param key_id: of the key that it is signed with
    """

    key_id: str
    region: str


def verify(asked: Asked, keys: Mapping[str, str], *, service: str, now: float) -> Signer:
    """
    Verify a request whose body is held.

    :param keys: secret keys by their ids
    :param now: epoch seconds; the signature is of these minutes
    :raises NotSigned: when it does not prove that the client has one of the keys
    """
    given = {name.lower(): value for name, value in asked.headers}
    match = _AUTHORIZATION.fullmatch(given.get("authorization", ""))
    if not match or match[4] != service:
        raise NotSigned("MissingAuthenticationToken", f"the request is not signed for {service}")
    key_id, day, region, _, names, signature = match.groups()
    covered, date = set(names.split(";")), given.get("x-amz-date", "")
    if not {"host", "x-amz-date"} <= covered <= set(given) or date[:8] != day or not _recent(date, now):
        raise NotSigned("IncompleteSignature", "the signature is not of this host and these minutes")
    if key_id not in keys:
        raise NotSigned("InvalidClientTokenId", "the key is none that was given here")
    if given.get("x-amz-content-sha256", asked.body.sha256) != asked.body.sha256:
        raise NotSigned("SignatureDoesNotMatch", "the signature is of another body")
    right = _signature(asked, {name: given[name] for name in covered}, key_id, keys[key_id], region, service)
    if not hmac.compare_digest(right, signature):
        raise NotSigned("SignatureDoesNotMatch", "the signature is not made with the key")
    return Signer(key_id, region)


def _recent(date: str, now: float) -> bool:
    try:
        moment = datetime.strptime(date, DATE).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return False
    return abs(now - moment) <= SKEW


def _signature(asked: Asked, covered: Mapping[str, str], key_id: str, key: str, region: str, service: str) -> str:
    """Compute what the signature has to be."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    class OfHeldBody(SigV4Auth):  # type: ignore[misc]  # botocore carries no types
        def payload(self, _: Any) -> str:
            return asked.body.sha256

    request = AWSRequest(asked.method, f"http://{covered['host']}{asked.target}", headers=dict(covered))
    request.context["timestamp"] = covered["x-amz-date"]
    signer = OfHeldBody(ReadOnlyCredentials(key_id, key, None), service, region)
    with silence("botocore"):
        return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))
