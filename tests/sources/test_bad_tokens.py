"""A token endpoint that refuses, fails, hangs, floods or talks nonsense, to every kind of source that asks one."""

from __future__ import annotations

import logging
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError
from tests.peers.rogue import Request, Rogue, reply
from tests.sources.asking import SECONDS, story
from tests.sources.bad_tokens import BAD, HIDDEN, MINTED, echo_piece, secrets_of
from tests.sources.bad_tokens import SECONDS as SHORT
from tests.sources.token_kinds import KINDS, Stage, clear, hidden

FEW_BYTES = 5_000
LARGEST_GROWTH = 16 * 1024 * 1024
FLOODS = ("200 MB", "chunks without end", "big bomb", "bomb", "deep object")
RUNS = [pytest.param(kind, name, id=f"{kind}: {name}") for kind, how in KINDS.items() for name in how.meets()]
WHOLE = [kind for kind, how in KINDS.items() if not how.like]


@pytest.fixture
def stage(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> Stage:
    clear(monkeypatch, os.environ)
    return Stage(KINDS[kind], tmp_path, monkeypatch, authority)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Rogue]:
    """A server that nobody should ask."""
    with Rogue(reply()) as server:
        yield server


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def told(error: MintError | None, log: pytest.LogCaptureFixture, requests: list[Request]) -> list[str]:
    """List what should never be told and was."""
    whole = "\n".join([log.text, *(str(vars(record)) for record in log.records), story(error) if error else ""])
    return [word for word in (*HIDDEN, *hidden(), *_proofs(requests)) if word in whole]


def _proofs(requests: list[Request]) -> list[str]:
    return [word for request in requests for word in secrets_of(request)]


def refused(stage: Stage, server: Rogue, seconds: float = SECONDS) -> MintError:
    with pytest.raises(MintError) as caught:
        stage.prepare(server.url)(seconds)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_good_answer_is_believed(stage: Stage, said: pytest.LogCaptureFixture) -> None:
    """Each kind is really asking the server of these tests, takes its good answer, and says nothing of it."""
    with stage.serve(reply(stage.kind.good.body())) as server:
        found = stage.prepare(server.url)()

    assert isinstance(found, BearerToken)
    assert MINTED in found.token
    assert server.connections == len(stage.kind.before) + 1
    assert told(None, said, server.requests) == []


@pytest.mark.parametrize(("kind", "name"), RUNS)
def test_bad_answer_is_an_error(stage: Stage, name: str, said: pytest.LogCaptureFixture, elsewhere: Rogue) -> None:
    """No bad answer is believed: one clear error of the right kind, in time, that tells nothing of either side."""
    bad = BAD[name]
    with stage.serve(bad.script(stage.kind.good._replace(elsewhere=elsewhere.url))) as server:
        error = refused(stage, server, SHORT if bad.slow else SECONDS)
        assert server.deserted(6), "the client has left"
        assert not bad.slow or server.sent < FEW_BYTES, "before the server was through"

    expected = stage.kind.differs.get(name, (bad.error, bad.code))
    assert (type(error), error.code, error.retry_after) == (*expected, bad.retry_after)
    assert told(error, said, server.requests) == []
    assert (error.__cause__, error.__context__) == (None, None)
    once = len(stage.kind.before) + 1
    assert server.connections == once or (bad.slow and server.connections < once), "it is asked once, if there is time"
    assert elsewhere.connections == 0, "and nobody else"


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_taken_for_a_code(stage: Stage, said: pytest.LogCaptureFixture) -> None:
    """A provider that repeats what proves us, whole or in part, where its code or the request's id should stand."""
    with stage.serve(reply(stage.kind.good.body())) as server:
        stage.prepare(server.url)()
    for index in range(len(secrets_of(server.requests[-1]))):
        with stage.serve(echo_piece(index)(stage.kind.good)) as server:
            error = refused(stage, server)
        assert told(error, said, server.requests) == []


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("kind", WHOLE)
def test_floods_are_not_kept(stage: Stage, name: str) -> None:
    """Whatever is sent, under 16 MB of it and of what is made of it are ever held."""
    script = BAD[name].script(stage.kind.good)
    with stage.serve(script, script) as server:
        refused(stage, server)
        tracemalloc.start()
        try:
            refused(stage, server)
            assert tracemalloc.get_traced_memory()[1] < LARGEST_GROWTH
        finally:
            tracemalloc.stop()


def test_there_are_enough() -> None:
    """The suite keeps the size that was promised."""
    assert len(BAD) >= 33
    assert all(len(KINDS[kind].meets()) >= 33 for kind in WHOLE)
    assert {kind.partition(" ")[0] for kind in WHOLE} == {"token_endpoint", "oauth2", "apigee", "azure", "google"}
