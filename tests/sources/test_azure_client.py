"""The SDKs' requests, each one bounded exchange; what went wrong is told by what came back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import trustme

from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.azure_client import CLOUDS, Transport, entra
from airflow_ephemeral_secrets.sources.azure_errors import retold
from airflow_ephemeral_secrets.sources.azure_identity import Identity
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import Answer
from airflow_ephemeral_secrets.testing import FakeClock
from tests.peers.azure_stubs import TOKEN, by_imds
from tests.peers.rogue import Rogue, reply
from tests.sources.asking import story

CANARY = "canary-of-an-sdk"


class SdkError(Exception):
    """What an SDK raises, holding what it should not tell."""


def transport(**fields: Any) -> Transport:
    return Transport(Network(), Deadline(SystemClock(), 10), **fields)


def get(url: str, headers: dict[str, str] | None = None) -> Any:
    from azure.core.rest import HttpRequest

    return HttpRequest("GET", url, headers=headers or {})


def run(here: Transport, use: Callable[[Any], Any], judge: Callable[[Answer], object] = lambda _: None) -> MintError:
    with pytest.raises(MintError) as caught:
        here.run("a token of a test", lambda: here, use, judge)
    return caught.value


def raising(after: Callable[[Any], object] = lambda _: None) -> Callable[[Any], Any]:
    """Do something, and then raise what an SDK raises."""

    def use(client: Any) -> Any:
        try:
            after(client)
        except MintError as error:
            raise SdkError(CANARY) from error
        raise SdkError(CANARY)

    return use


def test_nothing_was_asked() -> None:
    """An SDK that fails before it asks has met a setting it cannot use."""
    error = run(transport(), raising())

    assert (type(error), error.code) == (SourceUnavailable, "azure_configuration")
    assert "SdkError" in str(error)
    assert CANARY not in story(error)


@pytest.mark.parametrize(("status", "judged"), [(200, False), (403, True)])
def test_what_came_back_is_judged(status: int, *, judged: bool) -> None:
    """What the provider answered decides, not what the SDK made of it; a good one that it cannot read is nonsense."""

    def judge(answer: Answer) -> None:
        if answer.status >= 400:
            raise SourceRefused("no", code="a_code")

    with Rogue(reply(CANARY.encode(), status=status)) as server:
        error = run(transport(), raising(lambda client: client.send(get(server.url))), judge)

    assert (type(error), error.code) == ((SourceRefused, "a_code") if judged else (SourceFailed, "bad_answer"))
    assert CANARY not in story(error)


def test_failure_on_the_way_survives_the_sdk() -> None:
    """What kept an answer from coming is the error, however the SDK wraps it; nothing of the SDK's travels along."""
    with Rogue(reply(b"", status=302, Location="/")) as server:
        error = run(transport(), raising(lambda client: client.send(get(server.url))))

    assert (type(error), error.code) == (SourceFailed, "redirect")
    assert str(error).startswith("a token of a test: 127.0.0.1")
    assert (error.__context__, error.__cause__) == (None, None)
    assert CANARY not in story(error)


def test_error_of_ours_passes() -> None:
    """An error of ours inside of an SDK keeps all it says."""
    told = SourceFailed("no", code="a_code", hint="b", retry_after=7.0, request_id="c", proof_rejected=True)

    def use(_: Any) -> None:
        raise told

    error = run(transport(), use)

    assert error is not told
    assert vars(error) == {**vars(told), "message": "a token of a test: no"}
    assert vars(retold(told)) == vars(told)


def test_plain_http_is_for_this_host() -> None:
    """Only to the metadata service does anything go without TLS."""
    url = "http://169.254.169.254.example.com/metadata/identity/oauth2/token"
    for here in (transport(), transport(metadata=True)):
        assert run(here, lambda client: client.send(get(url))).code == "insecure"


@pytest.mark.parametrize(
    ("authority", "url", "allowed"),
    [
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com/t/oauth2/v2.0/token", True),
        ("https://login.microsoftonline.com", "https://login.windows.net/t/oauth2/v2.0/token", True),
        ("https://login.chinacloudapi.cn", "https://login.partner.microsoftonline.cn/t/token", True),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.us/t/token", False),
        ("https://login.microsoftonline.com", "https://westeurope.login.microsoft.com/t/token", False),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com.example.com/t/token", False),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com@example.com/t/token", False),
        ("https://login.microsoftonline.com", "https://example.com#@login.microsoftonline.com/t/token", False),
        ("https://login.microsoftonline.com", "https://example.com?@login.microsoftonline.com/t/token", False),
        ("https://login.microsoftonline.com", "https://example.com\\@login.microsoftonline.com/t/token", False),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com:444/t/token", False),
        ("https://login.microsoftonline.com", "http://login.microsoftonline.com/t/token", False),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443/t/token", True),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8444/t/token", False),
        ("https://loginXmicrosoftonline.com", "https://login.microsoftonline.com/t/token", False),
        ("https://login.example.com", "https://loginXexample.com/t/token", False),
    ],
)
def test_hosts_of_a_cloud(authority: str, url: str, *, allowed: bool) -> None:
    """An authority may name the hosts of its own cloud as its token endpoint, and none that only looks like one."""
    assert bool(entra(authority).fullmatch(url)) is allowed


def test_clouds_are_apart() -> None:
    """No host is of two clouds."""
    assert len(frozenset().union(*CLOUDS)) == sum(map(len, CLOUDS))


def test_other_hosts_get_nothing(authority: trustme.CA) -> None:
    """What is not allowed is not even connected to."""
    with Rogue(reply()) as server:
        error = run(transport(own=entra("https://127.0.0.1:1")), lambda client: client.send(get(server.url)))

    assert (type(error), error.code, server.connections) == (SourceUnavailable, "endpoint_not_allowed", 0)


@pytest.mark.parametrize("headers", [{"client-request-id": "one-of-ours"}, {"x-ms-client-request-id": "one-of-ours"}])
@pytest.mark.parametrize(("said", "kept"), [("", "one-of-ours"), ("one-of-theirs", "one-of-theirs")])
def test_request_id(headers: dict[str, str], said: str, kept: str) -> None:
    """The provider's id of a request is kept; where it has none, the one that we sent, which its logs have."""
    with Rogue(reply(b"{}", **({"X_Ms_Request_Id": said} if said else {}))) as server:
        here = transport()
        here.send(get(server.url, headers))

    assert isinstance(here.seen, Answer)
    assert here.seen.headers["x-ms-request-id"] == kept


def test_no_xml_is_parsed() -> None:
    """Whatever an answer says it is, it is read as JSON: parsers of XML can be led to eat all memory."""
    from azure.core.pipeline import Pipeline
    from azure.core.pipeline.policies import ContentDecodePolicy

    bomb = b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>'
    with Rogue(reply(bomb, Content_Type="application/xml")) as server:
        here = transport()
        error = run(here, lambda _: Pipeline(here, [ContentDecodePolicy()]).run(get(server.url), stream=False))

    assert error.code == "bad_answer"


def test_token_of_the_sdk_is_the_provider_s() -> None:
    """A token that did not come with the answer we saw is nobody's."""
    with Rogue(reply(by_imds())) as server:
        here = transport(metadata=True)

        class Credential:
            def __init__(self, token: str) -> None:
                self.token = token

            def get_token(self, _: str) -> Credential:
                here.send(get(server.url))
                return self

        at = FakeClock().now()
        right = Identity("a test", lambda: Credential(TOKEN), here).token("api://crm/.default", at)
        with pytest.raises(SourceFailed) as caught:
            Identity("a test", lambda: Credential(CANARY), here).token("api://crm/.default", at)

    assert right.token == TOKEN
    assert caught.value.code == "bad_answer"
    assert CANARY not in story(caught.value)


def test_sdks_never_try_again() -> None:
    """Each kind of retry is off."""
    options = transport().options

    assert {name: value for name, value in options.items() if name.startswith("retry_")} == {
        "retry_total": 0,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_status": 0,
    }


@pytest.mark.parametrize("module", ["azure.core.rest", "azure.core.pipeline.transport"])
def test_form(module: str) -> None:
    """A form goes out as one, whichever kind of request the SDK makes, and what in it proves us is remembered."""
    request = import_module(module).HttpRequest
    form = {"client_secret": "a+secret", "client_assertion": "a.b.c", "client_id": "a-client"}
    headers = {"Authorization": "Basic a-key", "X-IDENTITY-HEADER": "a-header", "secret": "another"}
    with Rogue(reply(b"{}")) as server:
        here = transport()
        here.run(
            "a test",
            lambda: here,
            lambda client: client.send(request("POST", server.url, headers=headers, data=form)),
            id,
        )

    assert set(here.sent) == {"Basic", "a-key", "a-header", "another", "a+secret", "a.b.c"}
    assert server.requests[0].form == form
    assert server.requests[0].headers.get_all("Content-Type") == ["application/x-www-form-urlencoded"]
