"""The servers of other people that tests ask: each is started when first asked for, and serves the whole session."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.peers.authlib_server import AuthlibServer
from tests.peers.mitm import Certificate, MitmProxy
from tests.peers.oidc_provider import OidcProvider
from tests.peers.openbao import OpenBao
from tests.peers.process import TAIL, Process
from tests.peers.wiremock import WireMock


@pytest.fixture(scope="session")
def oidc() -> Iterator[OidcProvider]:
    """A certified OpenID provider; its clients and resources stay, so name yours after your test."""
    with OidcProvider() as peer:
        yield peer


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBao]:
    """A verifier of tokens."""
    with OpenBao() as peer:
        yield peer


@pytest.fixture(scope="session")
def authlib() -> Iterator[AuthlibServer]:
    """A server that takes signed assertions."""
    with AuthlibServer() as peer:
        yield peer


@pytest.fixture(scope="session")
def _wiremock() -> Iterator[WireMock]:
    with WireMock() as peer:
        yield peer


@pytest.fixture
def wiremock(_wiremock: WireMock) -> WireMock:
    """A server to script, blank."""
    _wiremock.reset()
    return _wiremock


@pytest.fixture(scope="session")
def _mitm(oidc: OidcProvider) -> Iterator[Callable[[Certificate], MitmProxy]]:
    with ExitStack() as stack:

        @cache
        def stand(certificate: Certificate) -> MitmProxy:
            return stack.enter_context(MitmProxy(oidc.https, oidc.authority, certificate=certificate))

        yield stand


@pytest.fixture
def mitm(_mitm: Callable[[Certificate], MitmProxy]) -> Callable[[Certificate], MitmProxy]:
    """Stand in front of the OpenID provider with one certificate or another; nothing else goes wrong yet."""

    def stand(certificate: Certificate = Certificate.RIGHT) -> MitmProxy:
        proxy = _mitm(certificate)
        proxy.fault = {}
        return proxy

    return stand


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers wrote beside a test that failed."""
    report = yield
    if report.failed:
        for name, peer in getattr(item, "funcargs", {}).items():
            process = getattr(peer, "process", None)
            if isinstance(process, Process):
                report.sections.append((f"log of {name}", process.log[-TAIL:]))
    return report
