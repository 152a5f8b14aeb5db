"""mitmproxy stands in front of the provider, and does to its answers what it was told."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError

from tests.peers.client import ask
from tests.peers.mitm import Certificate, MitmProxy
from tests.peers.oidc_provider import OidcProvider

Stand = Callable[[Certificate], MitmProxy]


def keys(proxy: MitmProxy, oidc: OidcProvider, **given: Any) -> BaseHTTPResponse:
    return ask("GET", f"{proxy.url}/jwks", ca_file=oidc.ca_file, **given)


def test_passes_on(mitm: Stand, oidc: OidcProvider) -> None:
    """Without a fault what comes is what the provider said."""
    assert keys(mitm(Certificate.RIGHT), oidc).json() == oidc.jwks()


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [(Certificate.EXPIRED, "has expired"), (Certificate.UNKNOWN, "local issuer")],
    ids=["expired", "unknown"],
)
def test_presents_wrong_certificates(mitm: Stand, oidc: OidcProvider, certificate: Certificate, reason: str) -> None:
    """A certificate that ended or that nobody vouches for is the reason why nobody talks to it."""
    with pytest.raises(SSLError, match=reason) as caught:
        keys(mitm(certificate), oidc)

    assert isinstance(caught.value.args[0], ssl.SSLCertVerificationError)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"cut": 20}, r"IncompleteRead\(20 bytes read"),
        ({"kill": True}, "closed connection without response"),
    ],
    ids=["cut", "kill"],
)
def test_breaks_off(mitm: Stand, oidc: OidcProvider, fault: dict[str, object], error: str) -> None:
    """A connection ends before the answer, or in the middle of it."""
    proxy = mitm(Certificate.RIGHT)
    proxy.fault = fault

    with pytest.raises(ProtocolError, match=error):
        keys(proxy, oidc)


def test_answers_itself(mitm: Stand, oidc: OidcProvider) -> None:
    """A status can be answered in the provider's place."""
    proxy = mitm(Certificate.RIGHT)
    proxy.fault = {"status": 503}

    assert keys(proxy, oidc).status == 503


def test_lets_wait(mitm: Stand, oidc: OidcProvider) -> None:
    """An answer can come later than anyone waits for."""
    proxy = mitm(Certificate.RIGHT)
    proxy.fault = {"delay": 60}

    with pytest.raises(ReadTimeoutError):
        keys(proxy, oidc, timeout=0.5)
