"""Every library's exceptions are understood, as it raises them at a real server."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import pytest

from airflow_ephemeral_secrets.gateway import evidence
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
        answer = evidence.answer(raised(ALL[library], server.url), NOW)
    assert answer
    assert (answer.status, answer.meaning, answer.wait) == (429, "throttled", 7.0)


@pytest.mark.parametrize("library", READ_BODIES)
def test_code_in_the_body(library: str) -> None:
    """Where the library keeps the body, the gateway's code is found in it."""
    with Rogue(reply(SPIKE.encode(), status=500)) as server:
        answer = evidence.answer(raised(HTTP[library], server.url), NOW)
    assert answer
    assert (answer.meaning, answer.code) == ("throttled", "policies.ratelimit.SpikeArrestViolation")


def test_code_of_botocore() -> None:
    """A code of AWS that botocore has parsed is understood, whatever the status."""
    with Rogue(reply(THROTTLED.encode(), status=400, Content_Type="application/x-amz-json-1.0")) as server:
        answer = evidence.answer(raised(ALL["botocore"], server.url), NOW)
    assert answer
    assert (answer.meaning, answer.code) == ("throttled", "ThrottlingException")


@pytest.mark.parametrize("library", ALL)
def test_nobody_there(library: str) -> None:
    """A refused connection is no answer."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        error = raised(ALL[library], f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert evidence.answer(error, NOW) is None
    assert evidence.unreached(error)


@pytest.mark.parametrize("library", ALL)
def test_connection_breaks_off(library: str) -> None:
    """A connection that breaks off is no answer."""
    with Rogue(close) as server:
        assert evidence.unreached(raised(ALL[library], server.url))


def test_answer_is_cut() -> None:
    """Half an answer is none."""
    with Rogue(say(response(b"half", length=100))) as server:
        assert evidence.unreached(raised(by_requests, server.url)) == "ChunkedEncodingError"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("code"), SystemExit(429), OSError(28, "disk full")])
def test_other_errors(error: BaseException) -> None:
    """What has nothing to do with a request is neither."""
    assert evidence.answer(error, NOW) is None
    assert evidence.unreached(error) is None


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
    assert evidence.answer(Odd(), NOW) is None
    assert evidence.shown(Odd()) == {}


def test_a_ring_of_exceptions_ends() -> None:
    """Exceptions that lead to each other are walked once."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert [*evidence.chain(one)] == [one, other]
