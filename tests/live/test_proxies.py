"""Proxies of the environment, which are not for loopback."""

from __future__ import annotations

import os

import httpx
import pytest
import requests

from airflow_ephemeral_secrets.live.proxies import PROXIES, bypass_proxies

HERE, THERE = "http://127.0.0.1:4711/x", "http://api.example.com/x"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)


def proxied(url: str) -> set[bool]:
    """Say whether requests and httpx would ask a proxy."""
    settings = requests.Session().merge_environment_settings(url, {}, None, None, None)
    with httpx.Client() as client:
        transport = client._transport_for_url(httpx.URL(url))
        return {
            bool(requests.utils.select_proxy(url, settings["proxies"])),
            transport is not client._transport,
        }


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "internal.test"}, "internal.test,127.0.0.1"),
        ({"no_proxy": "a.test", "NO_PROXY": "b.test"}, "a.test,127.0.0.1"),
    ],
)
def test_loopback_is_excepted(monkeypatch: pytest.MonkeyPatch, proxy: str, given: dict[str, str], left: str) -> None:
    """What the environment excepts stays excepted, and loopback is too; all else goes the way that it went."""
    monkeypatch.setenv(proxy, "http://proxy.test:3128")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    bypass_proxies()

    assert os.environ["no_proxy"] == left
    assert proxied(HERE) == {False}
    assert proxied(THERE) == {True}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"https_proxy": "http://proxy.test:3128"},
        {"http_proxy": "http://proxy.test:3128", "no_proxy": "a.test, 127.0.0.1"},
        {"http_proxy": "http://proxy.test:3128", "NO_PROXY": "*"},
    ],
)
def test_environment_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    """Where no proxy stands before loopback, nothing is changed."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    bypass_proxies()

    assert dict(os.environ) == before
