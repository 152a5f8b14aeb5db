"""Endpoints that a credentials file may name: its provider's own, and those the configuration lists."""

from __future__ import annotations

import re

from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network

_URL = re.compile(r"(https?)://([^\s/?#@\\]+)((?:/[^\s?#\\]*)?)(?:[?#].*)?", re.IGNORECASE)


def require_allowed(url: object, own: re.Pattern[str], network: Network, what: str) -> str:
    """
    Refuse an endpoint that is neither the provider's own nor listed in ``network.allow_endpoints``.

    :param url: what a file on this worker, or an answer, names
    :param own: matches the whole of the provider's own URLs
    :param what: where the URL stands, for messages
    :return: the URL
    :raises SourceUnavailable: naming ``what``, and no more of the URL than its host
    """
    text = url if isinstance(url, str) else ""
    if own.fullmatch(text) or any(_within(text, allowed) for allowed in network.allow_endpoints):
        return text
    match = _URL.fullmatch(text)
    named = f"names {match[2][:100]}" if match and match[2].isprintable() else "names no URL"
    raise SourceUnavailable(
        f"{what} {named}, which is not among the provider's own endpoints",
        code="endpoint_not_allowed",
        hint="network.allow_endpoints, if it is meant",
    )


def _within(url: str, allowed: str) -> bool:
    """Say whether a URL is an allowed one, or lies below it; dots in its path could lead elsewhere."""
    match, limit = _URL.fullmatch(url), _URL.fullmatch(allowed)
    if (
        not match
        or not limit
        or [part.lower() for part in match.group(1, 2)] != [part.lower() for part in limit.group(1, 2)]
    ):
        return False
    path, root = match[3] or "/", limit[3].rstrip("/")
    return (path == root or path.startswith(f"{root}/")) and "/." not in path and "%" not in path
