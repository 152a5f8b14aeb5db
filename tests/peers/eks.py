"""
The authenticator of an EKS cluster: the checks of aws-iam-authenticator ``pkg/token``, then those of STS.

Ours, written from the published rules: there is no such server to install.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from tests.peers.sigv4 import verify

PREFIX = "k8s-aws-v1."
LONGEST_TOKEN = 4_096
PARAMETERS = {
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
}


class TokenRefusedError(Exception):
    """Why a token is refused."""


def authenticate(token: str, *, cluster: str, host: str, region: str, secret_of: Callable[[str], str]) -> str:
    """
    Say whose token it is.

    :param cluster: its name, which is sent to STS with the request and has to be signed
    :param host: the STS that the authenticator takes for one
    :return: the access key id that signed it
    """
    if len(token) > LONGEST_TOKEN or not token.startswith(PREFIX) or "=" in token:
        raise TokenRefusedError("form")
    url = presigned(token)
    parts = urlsplit(url)
    pairs = [(name.lower(), value) for name, value in parse_qsl(parts.query, strict_parsing=True)]
    query = dict(pairs)
    if (parts.scheme, parts.netloc, parts.path) != ("https", host, "/"):
        raise TokenRefusedError("endpoint")
    if set(query) - PARAMETERS or len(query) != len(pairs) or query["action"] != "GetCallerIdentity":
        raise TokenRefusedError("parameters")
    if "x-k8s-aws-id" not in query["x-amz-signedheaders"].split(";"):
        raise TokenRefusedError("cluster not signed")
    if not 0 <= int(query["x-amz-expires"]) <= 60:
        raise TokenRefusedError("expires")
    query = verify(url, secret_of=secret_of, scope=f"{region}/sts", headers={"x-k8s-aws-id": cluster})
    return query["X-Amz-Credential"].partition("/")[0]


def presigned(token: str) -> str:
    """Take the request out of a token."""
    encoded = token.removeprefix(PREFIX)
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
