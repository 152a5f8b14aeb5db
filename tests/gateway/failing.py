"""Exceptions as the libraries themselves raise them, at a real server that answers as told."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError

HEADERS = {"Authorization": "Bearer the-token-of-the-request"}


def by_requests(url: str) -> None:
    import requests

    with requests.Session() as session:
        session.trust_env = False
        session.get(url, headers=HEADERS, timeout=5).raise_for_status()


def by_stock_hook(url: str) -> None:
    """As the stock HttpHook does: another exception, in whose context the library's stands."""
    try:
        by_requests(url)
    except OSError as error:
        text = str(error)
        raise RuntimeError(text)  # noqa: B904  # that is how it does


def by_requests_stream(url: str) -> None:
    import requests

    session = requests.Session()
    session.trust_env = False
    session.get(url, headers=HEADERS, timeout=5, stream=True).raise_for_status()


def by_httpx(url: str) -> None:
    import httpx

    httpx.get(url, headers=HEADERS, trust_env=False).raise_for_status()


def by_aiohttp(url: str) -> None:
    import aiohttp

    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.get(url, headers=HEADERS) as response:
            response.raise_for_status()

    asyncio.run(ask())


def by_urllib(url: str) -> None:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(url, headers=HEADERS), timeout=5).close()
    except HTTPError as error:
        error.close()
        raise


def by_botocore(url: str) -> None:
    import boto3
    from botocore.config import Config

    boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="AKIA",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    ).list_queues()


HTTP: dict[str, Callable[[str], None]] = {
    "requests": by_requests,
    "requests, streamed": by_requests_stream,
    "the stock hook": by_stock_hook,
    "httpx": by_httpx,
    "aiohttp": by_aiohttp,
    "urllib": by_urllib,
}
ALL = {**HTTP, "botocore": by_botocore}


def raised(call: Callable[[str], Any], url: str) -> BaseException:
    """Call, and give what it raises."""
    with suppress(AssertionError):
        try:
            call(url)
        except BaseException as error:
            return error
    raise AssertionError("nothing was raised")
