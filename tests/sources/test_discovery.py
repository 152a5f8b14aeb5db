"""The metadata of an issuer: where they are, what of them is believed, and for how long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import trustme

from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources import discovery
from airflow_ephemeral_secrets.sources.base import Minting, Network
from airflow_ephemeral_secrets.sources.discovery import HELD, MOST, Issuer, discover, forget, well_known
from airflow_ephemeral_secrets.testing import FakeSource
from tests.peers.mitm import MitmProxy
from tests.peers.oidc_provider import OidcProvider
from tests.peers.rogue import Peer, Rogue, Script, deaf, reply, response
from tests.peers.tls import serving
from tests.sources.asking import given, story

CANARY = "canary-of-some-metadata"
THERE = "https://tokens.example.com/oauth/token"


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    discovery._held.clear()
    yield
    discovery._held.clear()


def minting(*, later: float = 0.0, **facts: Any) -> Minting:
    made = given(FakeSource(), **facts)
    asked = Instant(made.asked.wall + later, made.asked.boot + later)
    return msgspec.structs.replace(made, asked=asked)


def metadata(issuer: str, **more: Any) -> bytes:
    return json.dumps({"issuer": issuer, "token_endpoint": THERE, "jwks_uri": f"{issuer}/jwks", **more}).encode()


def refused(issuer: str, **facts: Any) -> MintError:
    with pytest.raises(MintError) as caught:
        discover(issuer, minting(**facts))
    assert CANARY not in story(caught.value)
    return caught.value


def of_itself(path: str = "", **more: Any) -> Script:
    """Be an issuer, at a path of the server that is asked."""

    def script(peer: Peer) -> None:
        issuer = f"http://{peer.read().headers['Host']}{path}"
        peer.send(response(metadata(issuer, **more)))

    return script


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        (
            "https://idp.test",
            "https://idp.test/.well-known/openid-configuration",
            "https://idp.test/.well-known/oauth-authorization-server",
        ),
        (
            "https://idp.test/",
            "https://idp.test/.well-known/openid-configuration",
            "https://idp.test/.well-known/oauth-authorization-server",
        ),
        (
            "https://acme.okta.com/oauth2/default",
            "https://acme.okta.com/oauth2/default/.well-known/openid-configuration",
            "https://acme.okta.com/.well-known/oauth-authorization-server/oauth2/default",
        ),
        (
            "http://127.0.0.1:8080/a/b/",
            "http://127.0.0.1:8080/a/b/.well-known/openid-configuration",
            "http://127.0.0.1:8080/.well-known/oauth-authorization-server/a/b",
        ),
    ],
)
def test_where_metadata_are(issuer: str, first: str, second: str) -> None:
    """OpenID Connect Discovery appends its path to the issuer, RFC 8414 puts its own between host and path."""
    assert well_known(issuer) == (first, second)


def test_of_a_certified_provider(oidc: OidcProvider) -> None:
    """A real provider's token endpoint is found, for clients with and without a certificate."""
    found = discover(oidc.https, minting(network=Network(ca_file=oidc.ca_file)))

    assert found == Issuer(f"{oidc.https}/token", f"{oidc.https}/token")


def test_falls_back_to_rfc_8414() -> None:
    """A server that is no OpenID provider has its metadata elsewhere."""
    with Rogue(reply(CANARY.encode(), status=404), of_itself("/as")) as server:
        found = discover(f"{server.url}/as", minting())

    assert found.token_endpoint == THERE
    assert [request.target for request in server.requests] == [
        "/as/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/as",
    ]
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        ({"token_endpoint": "https://mtls.example.com/token"}, "https://mtls.example.com/token"),
        ({"revocation_endpoint": "https://mtls.example.com/revoke"}, THERE),
        ({}, THERE),
        ("text", THERE),
    ],
)
def test_alias_for_certificates(aliases: Any, expected: str) -> None:
    """A client that presents a certificate asks where the metadata say that such clients ask (RFC 8705 section 5)."""
    with Rogue(of_itself(mtls_endpoint_aliases=aliases)) as server:
        found = discover(server.url, minting())

    assert (found.token_endpoint, found.mtls_token_endpoint) == (THERE, expected)


@pytest.mark.parametrize("other", ["{}/", "{}x", "https://idp.test", "", None, ["{}"]])
def test_another_issuer_is_refused(other: Any) -> None:
    """Metadata are those of the very issuer that is configured, to the last slash (RFC 8414 section 3.3)."""

    def script(peer: Peer) -> None:
        issuer = f"http://{peer.read().headers['Host']}"
        peer.send(response(metadata(other.format(issuer) if isinstance(other, str) else other)))

    with Rogue(script) as server:
        error = refused(server.url)

    assert (type(error), error.code) == (SourceRefused, "issuer_mismatch")


def test_who_stands_before_an_issuer_is_not_it(oidc: OidcProvider, mitm: Callable[..., MitmProxy]) -> None:
    """A proxy that passes on the metadata of a real provider cannot pass for it."""
    error = refused(mitm().url, network=Network(ca_file=oidc.ca_file))

    assert error.code == "issuer_mismatch"


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "",
        7,
        "ftp://idp.test/token",
        "http://idp.test/token",
        "http://169.254.169.254/latest/meta-data/",
        "https://user:password@idp.test/token",
        "https://idp.test/token#fragment",
        "https://idp.test/to ken",
        "https://idp.test\\@evil.test/token",
        "https://idp.test/token\n",
        "//idp.test/token",
        f"file:///{CANARY}",
    ],
)
def test_token_endpoint_is_https(endpoint: Any) -> None:
    """Metadata cannot lead a request, with the client's proof in it, to anything but https without a login."""
    with Rogue(of_itself(token_endpoint=endpoint)) as server:
        error = refused(server.url)

    assert (type(error), error.code) == (SourceFailed, "bad_endpoint")


@pytest.mark.parametrize("name", ["token_endpoint", "mtls_endpoint_aliases"])
def test_no_issuer_elsewhere_leads_to_this_host(authority: trustme.CA, ca_file: str, name: str) -> None:
    """Plain http on loopback is for issuers that are plain http on loopback."""
    local = "http://127.0.0.1:9/token"
    wrong = {"token_endpoint": local} if name == "token_endpoint" else {name: {"token_endpoint": local}}

    def script(peer: Peer) -> None:
        peer.send(response(metadata(f"https://{peer.read().headers['Host']}", **wrong)))

    with Rogue(script, tls=serving(authority)) as server, Rogue(of_itself(**wrong)) as plain:
        error = refused(server.url, network=Network(ca_file=ca_file))
        assert discover(plain.url, minting()).mtls_token_endpoint == local

    assert error.code == "bad_endpoint"


def test_token_endpoint_may_be_elsewhere_and_have_a_query() -> None:
    """RFC 8414 lets the endpoint be on another host, RFC 6749 section 3.2 lets it have a query."""
    there = "https://login.example.com:8443/tenant/token?p=policy"
    with Rogue(of_itself(token_endpoint=there)) as server:
        assert discover(server.url, minting()).token_endpoint == there


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        pytest.param(reply(CANARY.encode(), status=404), SourceRefused, "no_metadata", id="none"),
        pytest.param(reply(CANARY.encode(), status=403), SourceFailed, "HTTP 403", id="a firewall"),
        pytest.param(reply(b'{"error": "denied_x"}', status=403), SourceRefused, "denied_x", id="refused"),
        pytest.param(reply(CANARY.encode(), status=503), SourceFailed, "HTTP 503", id="down"),
        pytest.param(reply(CANARY.encode(), status=302, Location=THERE), SourceFailed, "redirect", id="redirect"),
        pytest.param(reply(status=204), SourceFailed, "bad_answer", id="nothing"),
        pytest.param(reply(f"<html>{CANARY}".encode()), SourceFailed, "bad_answer", id="a page"),
        pytest.param(reply(b"[]"), SourceFailed, "bad_answer", id="a list"),
        pytest.param(reply(b'{"issuer": "a", "issuer": "b"}'), SourceFailed, "bad_answer", id="twice"),
        pytest.param(reply(b"x" * 70_000), SourceFailed, "too_large", id="huge"),
    ],
)
def test_bad_metadata(script: Script, kind: type[MintError], code: str) -> None:
    """What is not metadata is an error in our words, and is asked for again next time."""
    with Rogue(script) as server:
        error = refused(server.url)
        before = server.connections
        refused(server.url)

    assert (type(error), error.code) == (kind, code)
    assert server.connections == 2 * before


def test_deadline_holds() -> None:
    """An issuer that says nothing is not waited for beyond the deadline."""
    with Rogue(deaf) as server:
        error = refused(server.url, seconds=0.2)

    assert error.code == "timeout"


def test_is_remembered_for_an_hour() -> None:
    """Metadata are read once an hour, and again when the hour is over or the clock was set back."""
    with Rogue(of_itself()) as server:
        for later, requests in ((0.0, 1), (HELD - 10, 1), (HELD + 10, 2), (0.0, 3)):
            discover(server.url, minting(later=later))
            assert len(server.requests) == requests


def test_is_read_anew_once_forgotten() -> None:
    """What did not work is not remembered."""
    with Rogue(of_itself()) as server:
        for _ in range(2):
            discover(server.url, minting())
            forget(server.url, Network())
    forget(server.url, Network())

    assert len(server.requests) == 2


def test_ways_are_kept_apart() -> None:
    """What one network says of an issuer is not believed on another."""
    with Rogue(of_itself()) as server:
        discover(server.url, minting())
        with pytest.raises(MintError):
            discover(server.url, minting(network=Network(ca_file="/no/such/file")))


def test_memory_is_bounded() -> None:
    """However many issuers there are, few are remembered."""
    with Rogue(*(of_itself(f"/{number}") for number in range(MOST + 5))) as server:
        for number in range(MOST + 5):
            discover(f"{server.url}/{number}", minting())
            assert 1 <= len(discovery._held) <= MOST
