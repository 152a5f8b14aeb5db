"""Endpoints that a credentials file may name: its provider's own, those the configuration lists, no look-alikes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.sources.allowed import require_allowed
from airflow_ephemeral_secrets.sources.base import Network
from tests.sources.asking import story

OWN = re.compile(r"https://sts\.googleapis\.com/v1/token")
WHAT = "token_url of the credentials file"
CANARY = "canary-of-a-url"


def check(url: object, *allowed: str) -> str:
    return require_allowed(url, OWN, Network(allow_endpoints=list(allowed)), WHAT)


def refused(url: object, *allowed: str) -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        check(url, *allowed)
    return caught.value


def test_own_endpoint_passes() -> None:
    """The provider's own URL needs no configuration."""
    assert check("https://sts.googleapis.com/v1/token") == "https://sts.googleapis.com/v1/token"


@pytest.mark.parametrize(
    "url",
    [
        *("http://sts.googleapis.com/v1/token", "https://sts.googleapis.com/v1/tokens", "https://sts.googleapis.com"),
        *("https://sts.googleapis.com.evil.example/v1/token", "https://evil.example/sts.googleapis.com/v1/token"),
        *("https://sts-googleapis.com/v1/token", "https://sts.googleapis.com@evil.example/v1/token"),
        *("https://sts.googleapis.com:8443/v1/token", "https://sts.googleapis.com./v1/token"),
        *("https://evil.example#https://sts.googleapis.com/v1/token", "https://sts.googleapis.com/v1/token\n"),
        *(" https://sts.googleapis.com/v1/token", "https:sts.googleapis.com/v1/token", "//sts.googleapis.com/v1/token"),
        *("https://sts.googleapis.com/v1/token?a=b", "https://sts.googleapis.com\\@evil.example/v1/token"),
        *("https://sts.g\u043eogleapis.com/v1/token", "https://169.254.169.254/v1/token", "file:///etc/passwd"),
    ],
)
def test_look_alikes_are_refused(url: str) -> None:
    """What only resembles the provider's own URL gets nothing that proves us."""
    error = refused(url)

    assert error.code == "endpoint_not_allowed"
    assert str(error).startswith(f"{WHAT} names ")
    assert "network.allow_endpoints" in str(error)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("https://idp.test", "https://idp.test"),
        ("https://idp.test", "https://idp.test/"),
        ("https://idp.test", "https://idp.test/any/path"),
        ("https://idp.test/", "https://idp.test/any/path"),
        ("https://idp.test", "https://idp.test?query=1"),
        ("https://idp.test", "https://idp.test/path?query=a/../b%20c#fragment"),
        ("https://idp.test", "https://IDP.Test/path"),
        ("https://IDP.test", "https://idp.test/path"),
        ("https://idp.test/tenant", "https://idp.test/tenant"),
        ("https://idp.test/tenant", "https://idp.test/tenant/token"),
        ("https://idp.test/tenant/", "https://idp.test/tenant/token"),
        ("https://idp.test:8443", "https://idp.test:8443/token"),
        ("https://[2001:db8::1]:8443", "https://[2001:DB8::1]:8443/token"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/token"),
        ("http://localhost", "http://localhost/token"),
    ],
)
def test_listed_endpoints_pass(allowed: str, url: str) -> None:
    """A listed endpoint passes, and all below it; hosts are compared without case."""
    assert check(url, "https://other.test", allowed) == url


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("https://idp.test", "http://idp.test"),
        ("http://localhost", "https://localhost"),
        ("https://idp.test", "https://idp.test.evil.example/"),
        ("https://idp.test", "https://evil.idp.test/"),
        ("https://idp.test", "https://idp.testing"),
        ("https://idp.test", "https://idp.test:8443"),
        ("https://idp.test:8443", "https://idp.test/"),
        ("https://idp.test:8443", "https://idp.test:84430/"),
        ("https://idp.test", "https://idp.test./"),
        ("https://idp.test", "https://idp.test@evil.example/"),
        ("https://idp.test", "https://user:pass@idp.test/"),
        ("https://idp.test", "https://evil.example\\@idp.test/"),
        ("https://idp.test", "https://idp.test\\.evil.example/"),
        ("https://idp.test", "https://evil.example#@idp.test/"),
        ("https://idp.test", "https://evil.example?@idp.test/"),
        ("https://idp.test", "https://idp.test/\nHost: evil.example"),
        ("https://idp.test", "https://idp.test/a b"),
        ("https://idp.test", "https://idp.test\n"),
        ("https://idp.test", "\thttps://idp.test"),
        ("https://idp.test", "https:/idp.test"),
        ("https://idp.test", "https:///idp.test"),
        ("https://idp.test", "ftp://idp.test"),
        ("https://idp.test", "httpſ://idp.test"),
        ("https://idp.test", "https://іdp.test"),
        ("https://idp.test", "https://ｉdp.test"),
        ("https://idp.test", "https://idp。test"),
        ("https://idp.test", "https://id%70.test"),
        ("https://127.0.0.1", "https://2130706433/"),
        ("https://127.0.0.1", "https://0x7f.1/"),
        ("https://[::1]", "https://[::]/"),
        ("https://[::1]", "https://[::1%25eth0]/"),
        ("https://idp.test/tenant", "https://idp.test/tenants"),
        ("https://idp.test/tenant", "https://idp.test/"),
        ("https://idp.test/tenant", "https://idp.test/Tenant"),
        ("https://idp.test/tenant", "https://idp.test/tenant/../other"),
        ("https://idp.test/tenant", "https://idp.test/tenant/.."),
        ("https://idp.test/tenant", "https://idp.test/tenant/..;/other"),
        ("https://idp.test/tenant", "https://idp.test/tenant/%2e%2e/other"),
        ("https://idp.test/tenant", "https://idp.test/tenant%2f..%2fother"),
        ("https://idp.test/tenant", "https://idp.test/tenant\\..\\other"),
        ("https://idp.test/tenant", "https://idp.test/tenant/./token"),
        ("https://idp.test/tenant", "https://idp.test//tenant"),
        ("https://idp.test/tenant", "https://idp.test?/tenant"),
        ("https://idp.test/tenant", "https://idp.test#/tenant"),
    ],
)
def test_neighbours_of_listed_endpoints_are_refused(allowed: str, url: str) -> None:
    """Another scheme, host, port, login or path is another endpoint, however it is written."""
    assert refused(url, allowed).code == "endpoint_not_allowed"


@pytest.mark.parametrize("url", [None, 7, True, [], ["https://idp.test"], {}, b"https://idp.test", ""], ids=repr)
def test_what_is_no_url_is_refused(url: Any) -> None:
    """A credentials file may hold anything where a URL is due."""
    assert "names no URL" in str(refused(url, "https://idp.test"))


@pytest.mark.parametrize(
    "url",
    [
        f"https://evil.example/{CANARY}",
        f"https://evil.example?{CANARY}",
        f"https://evil.example#{CANARY}",
        f"https://user:{CANARY}@evil.example/",
        f"{CANARY}://evil.example",
        CANARY,
        f"https://evil.example\n{CANARY}",
        "https://evil\x1b[31m.example/",
        "https://evil\u202e.example/",
        f"https://{'x' * 500}.example/",
    ],
)
def test_names_no_more_than_the_host(url: str) -> None:
    """The message tells which host was named, on one printable line, and nothing else of the URL."""
    error = refused(url)

    assert CANARY not in story(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300


def test_nothing_is_listed_by_default() -> None:
    """Without configuration only the provider's own endpoints are asked."""
    assert Network().allow_endpoints == []
    assert refused("https://idp.test/token").code == "endpoint_not_allowed"
