"""What AWS says when it does not do as asked, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused

_CODE = re.compile(r"(?=[A-Za-z.]*[A-Z])[A-Za-z][A-Za-z0-9.]{2,59}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,80}")
_SECONDS = re.compile(r"[0-9]{1,5}")

_MISSING = re.compile(r"not authorized to perform: (sts:TagSession|sts:SetSourceIdentity)\b")

TRANSIENT = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "RequestTimeout",
        "RequestTimeoutException",
        "IDPCommunicationError",
        "InternalFailure",
        "InternalServiceError",
        "ServiceUnavailable",
    }
)
HINTS = {
    "AccessDenied": "the worker's sts:AssumeRole permission, the role's trust policy, external_id, and sts:TagSession "
    "or sts:SetSourceIdentity where tags or source_identity are used",
    "AccessDeniedException": "the permission of the worker's identity, and the resource policy",
    "InvalidClientTokenId": "the worker's access key: it is unknown or deactivated",
    "UnrecognizedClientException": "the worker's access key: it is unknown or deactivated",
    "SignatureDoesNotMatch": "the worker's secret access key, and this host's clock",
    "ExpiredToken": "the worker's own session: it has expired",
    "ExpiredTokenException": "the web identity token file: the token in it has expired",
    "InvalidIdentityToken": "the audience and issuer of the web identity token, and the identity provider in IAM",
    "PackedPolicyTooLarge": "a shorter policy, or fewer tags",
    "MalformedPolicyDocument": "the session policy: STS does not understand it",
    "RegionDisabledException": "activating STS in this region, or another region",
    "ValidationError": "a ttl within the role's maximum session duration (1 h where the worker itself runs as a role)",
    "ResourceNotFoundException": "the secret's name and region",
}


def request_id(metadata: Mapping[str, Any]) -> str | None:
    """Take the request id of an answer, if it looks like one."""
    found = str(metadata.get("RequestId") or "")
    return found if _REQUEST_ID.fullmatch(found) else None


def unanswered(error: object, what: str) -> MintError:
    """
    Say that no answer came.

    :param error: what our exchange raised, or what else kept botocore from one
    :param what: the action and its object
    """
    if isinstance(error, MintError):
        return type(error)(f"{what}: {error.message}", code=error.code, hint=error.hint)
    return SourceFailed(f"{what}: no answer ({type(error).__name__})", code="unreachable")


def nonsense(name: str, status: int, what: str) -> MintError:
    """
    Say that what came is no answer of AWS.

    :param name: what botocore's parser made of it
    """
    if status >= 400:
        return SourceFailed(f"{what}: {status} from something that is not AWS", code=f"HTTP {status}")
    return SourceFailed(f"{what}: an answer that makes no sense ({name})", code="bad_answer")


def refusal(response: Mapping[str, Any], what: str, hints: Mapping[str, str], role: str | None = None) -> MintError:
    """
    Classify what AWS answered; its message is left out, for it may repeat what was sent.

    All that is taken of the message is which of two permissions is missing, if it says so. A code that does not look
    like one comes from a body that is not AWS's, and is left out too.

    :param hints: what to try, by code, where ``HINTS`` does not say it for this service
    :param role: the role that was asked for
    """
    metadata = response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code = response.get("Error", {}).get("Code")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return nonsense("", status, what)
    details: dict[str, Any] = {"code": code, "hint": {**HINTS, **hints}.get(code), "request_id": request_id(metadata)}
    message = f"{what}: AWS answered {status} {code}"
    if role and (missing := _MISSING.search(str(response["Error"].get("Message")))):
        message, details["hint"] = f"{message} for {missing[1]}", _statement(missing[1], role)
    if status == 429 or status >= 500 or code in TRANSIENT:
        retry_after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        details["retry_after"] = float(retry_after) if _SECONDS.fullmatch(retry_after) else None
        return SourceFailed(message, **details)
    return SourceRefused(message, **details)


def _statement(action: str, role: str) -> str:
    statement = f'{{"Effect": "Allow", "Action": "{action}", "Resource": "{role}"}}'
    return f"{statement} for the worker's identity, and {action} beside sts:AssumeRole in the role's trust policy"
