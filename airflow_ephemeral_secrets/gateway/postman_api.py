"""The Postman API, asked with an http connection that holds its key."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

import msgspec
from airflow.sdk.exceptions import AirflowException

from airflow_ephemeral_secrets.gateway.answers import Answer, read

PATIENCE = 60.0
CHUNK = 64 * 1024
HINTS = {
    401: "an API key of Postman's in header X-API-Key of the connection",
    403: "a role in the workspace for whoever owns the API key",
    404: "the id, which is the part after the last slash of its page in Postman, with the owner's number before it",
}


class PostmanApiError(AirflowException):
    """
    Say what the Postman API would not do.

    :param answer: what came back, which ``GatewayRetryPolicy`` reads
    """

    def __init__(self, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer


def path(*parts: str, query: str = "") -> str:
    """Build the path of a resource from parts that may hold anything."""
    return "/" + "/".join(quote(part, safe="") for part in parts) + query


def ask(conn_id: str, method: str, where: str, largest: int) -> bytes:
    """
    Ask, and read the whole answer.

    :param where: the path, and a query
    :param largest: bytes of an answer that are accepted
    :raises PostmanApiError: when no answer comes, or one that is none of success, or too large
    """
    from airflow.providers.http.hooks.http import HttpHook

    options = {"check_response": False, "stream": True, "timeout": PATIENCE}
    content = bytearray()
    try:
        with HttpHook(method=method, http_conn_id=conn_id).run(where, extra_options=options) as response:
            for piece in response.iter_content(CHUNK):
                content += piece
                if len(content) > largest:
                    break
    except OSError as error:
        raise _unanswered(method, where, error) from error
    return _checked(method, where, response.status_code, response.headers, bytes(content), largest)


async def aask(conn_id: str, method: str, where: str, largest: int) -> bytes:
    """Ask as :func:`ask` does, from an event loop."""
    import aiohttp
    from airflow.providers.http.hooks.http import HttpAsyncHook

    options = {"timeout": aiohttp.ClientTimeout(total=PATIENCE)}
    content = bytearray()
    answered: Any
    try:
        async with HttpAsyncHook(method=method, http_conn_id=conn_id, retry_limit=1).session() as http:
            answered = await http.run(where, extra_options=options)
            async with answered:
                async for piece in answered.content.iter_chunked(CHUNK):
                    content += piece
                    if len(content) > largest:
                        break
    except aiohttp.ClientResponseError as error:  # the answer was none of success
        answered = error
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:  # before 3.11 not the built-in
        raise _unanswered(method, where, error) from error
    return _checked(method, where, answered.status, answered.headers or {}, bytes(content), largest)


def decoded(content: bytes, *names: str) -> dict[str, Any]:
    """
    Read an answer, and go down to the mapping under some names.

    :raises PostmanApiError: when it is not there
    """
    try:
        found: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found = None
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise PostmanApiError(f"the Postman API answered without {'.'.join(names)}")
    return found


def _unanswered(method: str, where: str, error: Exception) -> PostmanApiError:
    return PostmanApiError(f"no answer of the Postman API to {_asked(method, where)} ({type(error).__name__})")


def _asked(method: str, where: str) -> str:
    return f"{method} {where.partition('?')[0]}"


def _checked(method: str, where: str, status: int, headers: Any, content: bytes, largest: int) -> bytes:
    asked = f"the Postman API answered {_asked(method, where)}"
    if not 200 <= status < 300:
        answer = read(status, headers, content, time.time())
        hint = f"; try: {HINTS[status]}" if status in HINTS else ""
        raise PostmanApiError(f"{asked} with {answer}{hint}", answer)
    if len(content) > largest:
        raise PostmanApiError(f"{asked} with more than {largest >> 20} MiB")
    return content
