"""
Verify presigned requests by the text of AWS Signature Version 4, with nothing of botocore.

It answers as AWS would: who signed, or why it is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"


class SignatureRefusedError(Exception):
    """Why a request is refused."""


def verify(
    url: str,
    *,
    secret_of: Callable[[str], str],
    scope: str,
    headers: Mapping[str, str] = {},
    now: datetime | None = None,
    life: timedelta = timedelta(minutes=15),
    payload: str = EMPTY,
) -> dict[str, str]:
    """
    Verify a GET request.

    :param secret_of: gives the secret key of an access key id, as the issuer knows it
    :param scope: ``region/service`` for which it must be signed
    :param headers: those sent besides ``Host``, in lower case
    :param life: how long after its date it is taken
    :return: its query
    """
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    query = dict(pairs)
    signature = query.pop("X-Amz-Signature")
    key_id, day, region, service, end = query["X-Amz-Credential"].split("/")
    date = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    if len(query) + 1 != len(pairs) or query["X-Amz-Algorithm"] != ALGORITHM:
        raise SignatureRefusedError("malformed")
    if (f"{region}/{service}", end, day) != (scope, "aws4_request", query["X-Amz-Date"][:8]):
        raise SignatureRefusedError("scope")
    if not date - timedelta(minutes=5) <= (now or datetime.now(timezone.utc)) <= date + life:
        raise SignatureRefusedError("date")
    sent = {"host": parts.netloc, **headers}
    names = query["X-Amz-SignedHeaders"].split(";")
    if not {"host", *headers} <= set(names) <= set(sent):
        raise SignatureRefusedError("headers")
    canonical = "\n".join(
        [
            "GET",
            quote(parts.path, safe="/~"),
            "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query.items())),
            *(f"{name}:{sent[name].strip()}" for name in sorted(names)),
            "",
            ";".join(sorted(names)),
            payload,
        ]
    )
    credential_scope = f"{day}/{region}/{service}/{end}"
    text = "\n".join([ALGORITHM, query["X-Amz-Date"], credential_scope, sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret_of(key_id)}".encode()
    for part in (day, region, service, end, text):
        key = hmac.new(key, part.encode(), sha256).digest()
    if not hmac.compare_digest(key.hex(), signature):
        raise SignatureRefusedError("signature")
    return query
