"""What an exception carries of a request that failed, whichever library raised it, and however deep it lies."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_ephemeral_secrets.backend import CredentialNotGranted
from airflow_ephemeral_secrets.gateway.answers import LARGEST_BODY, Answer, read
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn
from airflow_ephemeral_secrets.rejection import leases_of

DEEPEST = 20
UNREACHED = frozenset(
    {
        "builtins.ConnectionError",
        "builtins.TimeoutError",
        "asyncio.exceptions.TimeoutError",
        "socket.gaierror",
        "http.client.RemoteDisconnected",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "requests.exceptions.ChunkedEncodingError",
        "urllib3.exceptions.MaxRetryError",
        "urllib3.exceptions.NewConnectionError",
        "urllib3.exceptions.ProtocolError",
        "urllib3.exceptions.TimeoutError",
        "httpx.TransportError",
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.HTTPClientError",
    }
)
"""Classes whose instances say that no answer came, or not the whole of it."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """List an exception and what it came from, itself first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen and len(seen) < DEEPEST:
        seen.add(id(found))
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def outcome(error: BaseException, now: float) -> CredentialNotGranted | OutOfTurn | Answer | str | None:
    """
    Tell what became of a request: our own refusal, an answer, or the name of the class that says that none came.

    The latest of them in the chain counts. One that was handled before it, such as a 404 before a fallback that reached
    nobody, decides nothing.

    :param now: epoch seconds
    :return: None where there is none of them, or where no answer came and waiting would not help
    """
    known = list(chain(error))
    for one in known:
        if isinstance(one, (CredentialNotGranted, OutOfTurn)):
            return one
        if found := _answer(one, now):
            return found
        if UNREACHED.intersection(map(_path, type(one).__mro__)):
            certificate = any(isinstance(each, ssl.SSLCertVerificationError) for each in known)
            return None if certificate else type(one).__name__
    return None


def shown(error: BaseException) -> dict[str, str | bytes]:
    """List the headers of the request that failed, where they are known: they hold secrets."""
    for one in chain(error):
        headers = _get(_get(_get(one, "response"), "request") or _get(one, "request_info"), "headers")
        if isinstance(headers, Mapping):
            return dict(headers)
    return {}


def lease_ids(error: BaseException) -> tuple[str, ...]:
    """Name the leases that the request may have been made with."""
    told = next((one.lease_ids for one in chain(error) if hasattr(one, "lease_ids")), None)
    return leases_of(shown(error)) if told is None else tuple(told)


def _path(kind: type) -> str:
    module = "httpx" if kind.__module__.startswith("httpx.") else kind.__module__
    return f"{module}.{kind.__name__}"


def _answer(error: BaseException, now: float) -> Answer | None:
    found = _get(error, "answer")
    if isinstance(found, Answer):
        return found
    response = _get(error, "response")
    if isinstance(response, Mapping):
        return _of_botocore(response, now)
    for carrier in (response, error):
        items = _get(_get(carrier, "headers"), "items")
        status = _status(carrier)
        if status and status >= 400 and items:
            return read(status, dict(items()), _body(carrier), now)
    return None


def _of_botocore(response: Mapping[str, Any], now: float) -> Answer | None:
    """Read a parsed answer of AWS; its code is put where API Gateway has it."""
    metadata, error = response.get("ResponseMetadata") or {}, response.get("Error") or {}
    status = metadata.get("HTTPStatusCode")
    if not isinstance(status, int):
        return None
    headers = {**(metadata.get("HTTPHeaders") or {}), "x-amzn-errortype": str(error.get("Code") or "")}
    return read(status, headers, b"", now)


def _status(carrier: Any) -> int | None:
    for name in ("status_code", "status", "code"):
        found = _get(carrier, name)
        if isinstance(found, int):
            return int(found)
    return None


def _body(carrier: Any) -> bytes:
    """Give what has been read of a body, and of a stream that nobody has read no more than is looked at."""
    try:
        if getattr(carrier, "_content", None) is False:
            return bytes(carrier.raw.read(LARGEST_BODY, decode_content=True))
        found = getattr(carrier, "content", None) or getattr(carrier, "body", None) or b""
        return found.encode() if isinstance(found, str) else bytes(found)
    except Exception:
        return b""


def _get(carrier: Any, name: str) -> Any:
    """Get an attribute, which some libraries make a property that raises."""
    try:
        return getattr(carrier, name, None)
    except Exception:
        return None
