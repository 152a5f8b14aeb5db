"""Every library's exceptions are understood, as it raises them at a real server."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import closing

import pytest

from airflow_ephemeral_secrets.gateway import evidence
from airflow_ephemeral_secrets.gateway.answers import Answer
from airflow_ephemeral_secrets.gateway.hook import GatewayRefused
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn
from tests.gateway.failing import ALL, HTTP, by_requests, raised
from tests.peers.rogue import Rogue, close, reply, response, say

NOW = 1_790_000_000.0
SPIKE = json.dumps({"fault": {"faultstring": "", "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"}}})
THROTTLED = json.dumps({"__type": "com.amazonaws.sqs#ThrottlingException", "message": "Rate exceeded"})
READ_BODIES = sorted(HTTP.keys() - {"aiohttp", "urllib"})


@pytest.mark.parametrize("library", ALL)
def test_status_and_wait(library: str) -> None:
    """Status and ``Retry-After`` are found, however deep the exception lies."""
    with Rogue(reply(b"{}", status=429, Retry_After="7", Content_Type="application/json")) as server:
        answer = evidence.outcome(raised(ALL[library], server.url), NOW)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.meaning, answer.wait) == (429, "throttled", 7.0)


@pytest.mark.parametrize("library", READ_BODIES)
def test_code_in_the_body(library: str) -> None:
    """Where the library keeps the body, the gateway's code is found in it."""
    with Rogue(reply(SPIKE.encode(), status=500)) as server:
        answer = evidence.outcome(raised(HTTP[library], server.url), NOW)
    assert isinstance(answer, Answer)
    assert (answer.meaning, answer.code) == ("throttled", "policies.ratelimit.SpikeArrestViolation")


def test_code_of_botocore() -> None:
    """A code of AWS that botocore has parsed is understood, whatever the status."""
    with Rogue(reply(THROTTLED.encode(), status=400, Content_Type="application/x-amz-json-1.0")) as server:
        answer = evidence.outcome(raised(ALL["botocore"], server.url), NOW)
    assert isinstance(answer, Answer)
    assert (answer.meaning, answer.code) == ("throttled", "ThrottlingException")


@pytest.mark.parametrize("library", ALL)
def test_nobody_there(library: str) -> None:
    """A refused connection is no answer."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        error = raised(ALL[library], f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert isinstance(evidence.outcome(error, NOW), str)


@pytest.mark.parametrize("library", ALL)
def test_connection_breaks_off(library: str) -> None:
    """A connection that breaks off is no answer."""
    with Rogue(close) as server:
        assert isinstance(evidence.outcome(raised(ALL[library], server.url), NOW), str)


def test_answer_is_cut() -> None:
    """Half an answer is none."""
    with Rogue(say(response(b"half", length=100))) as server:
        assert evidence.outcome(raised(by_requests, server.url), NOW) == "ChunkedEncodingError"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("code"), SystemExit(429), OSError(28, "disk full")])
def test_other_errors(error: BaseException) -> None:
    """What has nothing to do with a request is neither."""
    assert evidence.outcome(error, NOW) is None


@pytest.mark.parametrize("library", sorted(HTTP.keys() - {"urllib"}))
def test_headers_of_the_request(library: str) -> None:
    """What the request carried is found where the library keeps it."""
    with Rogue(reply(status=401)) as server:
        shown = evidence.shown(raised(HTTP[library], server.url))
    assert {name.lower(): value for name, value in shown.items()}["authorization"] == "Bearer the-token-of-the-request"


class Odd(Exception):
    """An exception whose attributes raise, as those of some libraries do."""

    @property
    def response(self) -> None:
        raise RuntimeError

    headers = status = code = answer = request_info = response


def test_attributes_that_raise() -> None:
    """What cannot be read says nothing."""
    assert evidence.outcome(Odd(), NOW) is None
    assert evidence.shown(Odd()) == {}


NOT_FOUND, THROTTLING = Answer(404, "refused"), Answer(429, "throttled")


def answered(answer: Answer) -> GatewayRefused:
    return GatewayRefused("told", answer, ())


def after(error: BaseException, handled: BaseException, *, hidden: bool = False) -> BaseException:
    """Raise an error while another one is handled, and give it."""
    try:
        try:
            raise handled
        except Exception:
            if hidden:
                raise error from None
            raise error  # noqa: B904  # the other one shall be its context
    except BaseException as found:
        return found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (after(ConnectionResetError(), answered(NOT_FOUND)), "ConnectionResetError"),
        (after(answered(THROTTLING), answered(NOT_FOUND)), THROTTLING),
        (after(answered(THROTTLING), TimeoutError()), THROTTLING),
        (after(answered(NOT_FOUND), OutOfTurn("10/s", 9.0, 1.0)), NOT_FOUND),
        (after(RuntimeError("a bug"), answered(NOT_FOUND)), NOT_FOUND),
        (after(RuntimeError("a bug"), answered(NOT_FOUND), hidden=True), None),
        (after(ConnectionResetError(), ssl.SSLCertVerificationError()), None),
    ],
    ids=["no answer", "an answer", "answer at last", "no turn before", "what wraps it", "hidden", "a certificate"],
)
def test_what_was_handled_before(error: BaseException, expected: Answer | str | None) -> None:
    """The latest outcome counts: one that was handled before, or that is hidden, decides nothing."""
    assert evidence.outcome(error, NOW) == expected


def test_a_ring_of_exceptions_ends() -> None:
    """Exceptions that lead to each other are walked once."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert [*evidence.chain(one)] == [one, other]
