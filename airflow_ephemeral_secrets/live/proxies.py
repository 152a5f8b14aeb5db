"""Proxies that the environment names, and that must not stand before loopback."""

from __future__ import annotations

import os

HERE = "127.0.0.1"


def bypass() -> None:
    """
    Have the clients in this process ask loopback by no proxy.

    For those that no field of a connection can tell so: they read the environment. ``no_proxy`` is extended, for where
    both are set it wins over ``NO_PROXY``.
    """
    if not any(os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        return
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if not {"*", HERE} & {name.strip() for name in known.split(",")}:
        os.environ["no_proxy"] = f"{known},{HERE}" if known else HERE
