"""Proxies of the environment do not stand before loopback."""

from __future__ import annotations

import os
from urllib.request import getproxies, proxy_bypass

import pytest

from airflow_ephemeral_secrets.live import proxies

VARIABLES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, None),
        ({"NO_PROXY": "internal.test"}, None),
        ({"HTTP_PROXY": "http://proxy.test"}, "127.0.0.1"),
        ({"ALL_PROXY": "http://proxy.test"}, "127.0.0.1"),
        ({"http_proxy": "http://proxy.test", "NO_PROXY": "internal.test"}, "internal.test,127.0.0.1"),
        ({"http_proxy": "p", "no_proxy": "a.test", "NO_PROXY": "b.test"}, "a.test,127.0.0.1"),
        ({"http_proxy": "p", "no_proxy": "a.test, 127.0.0.1"}, "a.test, 127.0.0.1"),
        ({"http_proxy": "p", "no_proxy": "*"}, "*"),
    ],
)
def test_bypass(given: dict[str, str], kept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a proxy is named, clients are told to leave it out for loopback, and nothing else is changed."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "")  # so that it is put back as it was
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    proxies.bypass()
    proxies.bypass()

    assert (os.environ["no_proxy"] or None) == kept
    assert not getproxies().get("http") or proxy_bypass("127.0.0.1:4711")
