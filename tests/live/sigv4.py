"""
AWS Signature Version 4 by AWS's own text, with nothing of botocore.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

UNRESERVED = "-_.~"


def canonical_path(path: str, *, normalize: bool) -> str:
    """
    Write a path as a service reads it from the wire.

    :param normalize: encode it once more, without dots and empty segments, as all services do but S3
    """
    if not normalize:
        return quote(path, safe=f"/%{UNRESERVED}")
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    ended = "/" if kept and path.endswith(("/", "/.", "/..")) else ""
    return quote(f"/{'/'.join(kept)}{ended}", safe=f"/{UNRESERVED}")


def canonical_query(query: str) -> str:
    """Encode each name and value, and sort by the one and then the other."""
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    encoded = [[quote(unquote_to_bytes(text), safe=UNRESERVED) for text in pair] for pair in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def signature(
    method: str,
    target: str,
    headers: Mapping[str, str],
    signed: Sequence[str],
    digest: str,
    *,
    key: str,
    scope: str,
    normalize: bool,
) -> str:
    """
    Sign a request.

    :param headers: by lower-case names; one that stands twice has its values joined by commas
    :param signed: those that the signature covers
    :param digest: of the body, in hex
    :param key: the secret key
    :param scope: ``day/region/service/aws4_request``
    """
    path, _, query = target.partition("?")
    canonical = "\n".join(
        [
            method,
            canonical_path(path, normalize=normalize),
            canonical_query(query),
            *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            digest,
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical.encode()).hexdigest()])
    signing = f"AWS4{key}".encode()
    for part in (*scope.split("/"), text):
        signing = hmac.new(signing, part.encode(), sha256).digest()
    return signing.hex()
