"""Whether AWS would accept a request's signature (Signature Version 4): made anew with the secret key, and compared."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Protocol


class Key(Protocol):
    """A credential as the token service issued it."""

    @property
    def secret_access_key(self) -> str: ...

    @property
    def session_token(self) -> str: ...


Keys = Callable[[str], Key | None]
"""Finds a credential by its access key id."""


def fault(method: str, origin: str, target: str, headers: Mapping[str, str], body: bytes, keys: Keys) -> str:
    """
    Name what is wrong with a request, as API Gateway does, or nothing.

    :param headers: by their names in lower case
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    words = headers.get("authorization", "").removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    said = dict(word.partition("=")[::2] for word in words)
    if not {"Credential", "SignedHeaders", "Signature"} <= said.keys():
        return "MissingAuthenticationTokenException"
    key_id, _, region, service, _ = said["Credential"].split("/")
    key = keys(key_id)
    if key is None or headers.get("x-amz-security-token") != key.session_token:
        return "UnrecognizedClientException"
    if headers.get("x-amz-content-sha256") != sha256(body).hexdigest():
        return "InvalidSignatureException"
    covered = {name: headers[name] for name in said["SignedHeaders"].split(";")}
    request = AWSRequest(method, f"{origin}{target}", headers=covered, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(ReadOnlyCredentials(key_id, key.secret_access_key, key.session_token), service, region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    right = hmac.compare_digest(auth.signature(text, request), said["Signature"])
    return "" if right else "InvalidSignatureException"
