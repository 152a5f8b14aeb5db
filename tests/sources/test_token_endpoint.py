"""One request to a token endpoint: what is sent, and what is made of the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trustme

from airflow_ephemeral_secrets.clock import SystemClock
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources.base import Minting, Network, user_agent
from airflow_ephemeral_secrets.sources.certificate import Certificate
from airflow_ephemeral_secrets.sources.token_answer import OAUTH, Asked
from airflow_ephemeral_secrets.sources.token_endpoint import request_token
from airflow_ephemeral_secrets.testing import FakeSource
from tests.peers.rogue import Peer, Rogue, close, reply, response
from tests.peers.tls import serving
from tests.sources.asking import given, story

SECRET = "s3cret+of/a=client"
GOOD = json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 60}).encode()
ID = "6f1dd4f0-3a4c-4ed2-a5a6-7d3a1cbb0a00"


def minting(**facts: Any) -> Minting:
    return given(FakeSource(), **facts)


def ask(url: str, form: Mapping[str, str] = {"client_secret": SECRET}, *, minting: Minting, **more: Any) -> BearerToken:
    asked = Asked(what="a token of idp.test", at=minting.asked)
    return request_token(url, form, asked, minting, sent=[SECRET], **more)


def refused(url: str, **more: Any) -> MintError:
    with pytest.raises(MintError) as caught:
        ask(url, minting=minting(), **more)
    assert SECRET not in story(caught.value)
    return caught.value


def test_sends_one_form() -> None:
    """The fields go as a form in the body of one POST (RFC 6749 section 4.4.2), and nothing of them in the URL."""
    form = {"grant_type": "client_credentials", "client_secret": SECRET, "scope": "a b", "resource": "https://é/?&="}
    with Rogue(reply(GOOD)) as server:
        ask(f"{server.url}/oauth2/token", form, minting=minting())

    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/oauth2/token")
    assert request.form == form
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == user_agent()
    assert request.headers["Accept-Encoding"] in (None, "identity")
    assert request.headers["Authorization"] is None


def test_further_headers_go_along() -> None:
    """What the client proves itself with may stand in a header."""
    with Rogue(reply(GOOD)) as server:
        ask(server.url, minting=minting(), headers={"Authorization": "Basic abc"})

    assert server.requests[0].headers["Authorization"] == "Basic abc"
    assert server.requests[0].headers["Accept"] == "application/json"


@pytest.mark.parametrize("status", [200, 201])
def test_expiry_counts_from_before_the_request(status: int) -> None:
    """A slow answer does not lengthen the life of its token."""
    before = minting()
    with Rogue(reply(GOOD, status=status, X_Request_Id=ID)) as server:
        found = ask(server.url, minting=before, principal="abc")

    assert found == BearerToken(token="t", expires_at=before.asked.wall + 60, principal="abc", request_id=ID)
    assert before.asked.wall <= SystemClock().now().wall


@pytest.mark.parametrize("status", [202, 203, 204, 205, 206, 226, 400, 401, 403, 500, 503])
def test_other_statuses_hold_no_token(status: int) -> None:
    """Only 200, and 201 of those who create one, answer with a token, whatever the body of another says."""
    with Rogue(reply(GOOD, status=status)) as server:
        assert refused(server.url).code == (f"HTTP {status}" if status >= 400 else "bad_answer")


def test_codes_of_the_provider() -> None:
    """The provider's own codes decide what may pass by itself, what to try and whether our proof was at fault."""
    codes = OAUTH.with_({"busy_x": "later"}, transient={"busy_x"}, proof={"expired_x"})
    with Rogue(reply(b'{"error": "busy_x"}', status=400), reply(b'{"error": "expired_x"}', status=400)) as server:
        busy, expired = (refused(server.url, codes=codes) for _ in range(2))

    assert (type(busy), busy.hint, busy.proof_rejected) == (SourceFailed, "later", False)
    assert (type(expired), expired.proof_rejected) == (SourceRefused, True)


def echo(peer: Peer) -> None:
    """Refuse, with the client's secret as the reason."""
    secret = peer.read().form["client_secret"]
    said = json.dumps({"error": secret, "error_description": f"AADSTS{secret}", "code": secret, "errorCode": "e_1"})
    peer.send(response(said.encode(), status=400, X_Request_Id=secret))


@pytest.mark.parametrize("secret", [SECRET, "a_secret_like_a_code"])
def test_echo_is_not_told(secret: str) -> None:
    """A server that repeats the secret of the request, wherever it may, does not get it into an error."""
    made = minting()
    with Rogue(echo) as server, pytest.raises(SourceRefused) as caught:
        request_token(server.url, {"client_secret": secret}, Asked(what="w", at=made.asked), made, sent=[secret])

    assert secret not in story(caught.value)


@pytest.mark.parametrize("value", [f"Bearer {SECRET}\r\nX-Forged: 1", f"Bearer {SECRET}\n", f"Bearer {SECRET} \u20ac"])
def test_header_that_cannot_be_sent_is_not_told(value: str) -> None:
    """A secret that no header can carry is never sent, and is an error of ours that does not hold it."""
    with Rogue(reply(GOOD)) as server:
        error = refused(server.url, headers={"Authorization": value})

    assert server.requests == []
    assert isinstance(error, MintError)


def test_presents_its_certificate(authority: trustme.CA, ca_file: str) -> None:
    """The client's certificate proves it where the endpoint asks for one (RFC 8705)."""
    context = serving(authority)
    authority.configure_trust(context)
    context.verify_mode = context.verify_mode.CERT_REQUIRED
    certificate = Certificate(authority.issue_cert("client.test").private_key_and_cert_chain_pem.bytes())
    with Rogue(reply(GOOD), tls=context) as server:
        made = minting(network=Network(ca_file=ca_file))
        assert ask(server.url, minting=made, certificate=certificate).token == "t"
        with pytest.raises(SourceFailed):
            ask(server.url, minting=made)

    assert len(server.requests) == 1


def test_outage_says_what_was_asked() -> None:
    """Where nobody answers, the error says what was asked for, and of whom."""
    made = minting()
    with Rogue(close) as server:
        url = server.url
    with pytest.raises(SourceFailed) as caught:
        request_token(url, {"client_secret": SECRET}, Asked(what="a token for somebody", at=made.asked), made)

    assert str(caught.value) == (
        f"a token for somebody: {url.removeprefix('http://')}: no connection"
        "; try: the network, network.proxy, or the endpoint's URL"
    )
    assert caught.value.code == "unreachable"
    assert caught.value.__context__ is None
