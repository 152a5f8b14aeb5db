"""What STS, Redshift, ECR and CodeArtifact answer to an AWS session that asks for a token, word by word."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from tests.peers.rogue import Peer, Request, response
from tests.peers.sts import REQUEST_ID, granted

USER = "IAM:loader"
PASSWORD = "issued/password+1=="
TOKEN = "issued.token-2"
REGISTRY = "111122223333"


def at(seconds: float) -> str:
    """Write the moment some seconds from now, as AWS does."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def redshift(action: str = "GetClusterCredentials", **members: str | None) -> bytes:
    """
    Issue a database password for a cluster.

    :param members: as XML, None to leave one out
    """
    named = {"DbUser": USER, "DbPassword": PASSWORD, "Expiration": at(900), **members}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in named.items() if value is not None)
    return (
        f'<{action}Response xmlns="http://redshift.amazonaws.com/doc/2012-12-01/"><{action}Result>{inside}'
        f"</{action}Result><ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></{action}Response>"
    ).encode()


def serverless(**members: Any) -> bytes:
    """Issue a database password for a workgroup; None leaves a member out."""
    return _json({"dbUser": USER, "dbPassword": PASSWORD, "expiration": time.time() + 900, **members})


def ecr(**members: Any) -> bytes:
    """Issue a registry password; None leaves a member out."""
    return json.dumps({"authorizationData": [authorization(**members)]}).encode()


def authorization(**members: Any) -> dict[str, Any]:
    """Write what ECR says of one registry."""
    endpoint = f"https://{REGISTRY}.dkr.ecr.eu-west-1.amazonaws.com"
    named = {
        "authorizationToken": login(f"AWS:{PASSWORD}"),
        "expiresAt": time.time() + 43_200,
        "proxyEndpoint": endpoint,
        **members,
    }
    return {name: value for name, value in named.items() if value is not None}


def login(text: str) -> str:
    """Write a login and password as ECR does."""
    return b64encode(text.encode()).decode()


def codeartifact(**members: Any) -> bytes:
    """Issue a token for a domain; None leaves a member out."""
    return _json({"authorizationToken": TOKEN, "expiration": time.time() + 900, **members})


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def action(request: Request) -> str:
    """Name what a request asks for: ``service:Action``."""
    target = request.headers["X-Amz-Target"] or ""
    if request.target.startswith("/v1/authorization-token"):
        return "codeartifact:GetAuthorizationToken"
    if target:
        service = "ecr" if target.startswith("AmazonEC2ContainerRegistry") else "redshift-serverless"
        return f"{service}:{target.rpartition('.')[2]}"
    name = request.form["Action"]
    return f"{'sts' if name == 'AssumeRole' else 'redshift'}:{name}"


def services(expiration: float | None = None) -> Any:
    """
    Grant whatever is asked for, by every service on one port.

    :param expiration: seconds from now at which the sessions of roles end
    """

    def script(peer: Peer) -> None:
        request = peer.read()
        asked = action(request)
        members = {} if expiration is None else {"Expiration": at(expiration)}
        answers = {
            "sts:AssumeRole": lambda: granted(**members),
            "redshift:GetClusterCredentials": redshift,
            "redshift:GetClusterCredentialsWithIAM": lambda: redshift("GetClusterCredentialsWithIAM", DbUser="IAMR:x"),
            "redshift-serverless:GetCredentials": serverless,
            "ecr:GetAuthorizationToken": ecr,
            "codeartifact:GetAuthorizationToken": codeartifact,
        }
        peer.send(response(answers[asked](), x_amzn_RequestId=REQUEST_ID))

    return script
