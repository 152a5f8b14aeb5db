"""Proxies that the environment names, which are not for loopback."""

from __future__ import annotations

import os

PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
HERE = "127.0.0.1"


def bypass_proxies() -> None:
    """
    Let no proxy of the environment stand before 127.0.0.1, for clients that no connection can tell.

    ``no_proxy`` in small letters is what requests, httpx, botocore, urllib and libcurl read first.
    """
    if not any(map(os.environ.get, PROXIES)):
        return
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if {"*", HERE}.isdisjoint(map(str.strip, excepted.split(","))):
        os.environ["no_proxy"] = f"{excepted},{HERE}".lstrip(",")
