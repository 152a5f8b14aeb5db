"""Leases within a process, found by a capability."""

from __future__ import annotations

import os

import pytest

from airflow_ephemeral_secrets.live import sessions
from airflow_ephemeral_secrets.live.routes import open_route
from airflow_ephemeral_secrets.live.sessions import SESSIONS, Sessions
from airflow_ephemeral_secrets.live.supply import Supply
from airflow_ephemeral_secrets.shapes.aws import Aws
from tests.live.asking import Keys
from tests.resolving import CALLER, recipe, resolver


def supply() -> Supply:
    return Supply(resolver(), recipe(Keys()), "api", CALLER)


def test_capability_leads_to_its_own() -> None:
    """Whoever asks for the same thing has the same connection; a capability leads to one supply, a guess to none."""
    here, one, other = Sessions(), supply(), supply()
    route = here.route("one", lambda: one)

    assert here.route("one", supply) == route
    assert here.route("other", lambda: other).capability != route.capability
    assert here.supply(route.capability) is one
    assert here.supply("a-guess") is None
    assert (route.url, len(route.capability) >= 43) == ("", True)


def test_holds_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was used least recently makes room, and is opened anew when it is asked for again."""
    monkeypatch.setattr(sessions, "MOST", 2)
    here = Sessions()
    first = here.route("first", supply)
    here.route("second", supply)
    here.supply(first.capability)
    here.route("third", supply)

    assert here.supply(first.capability)
    assert here.route("second", supply).capability
    assert sum(here.supply(route.capability) is not None for route in here._routes.values()) <= 2


def test_opens_no_port() -> None:
    """Where our session factory makes the sessions, a live connection has no address in it."""
    shape = Aws(source="fake", live=True)
    spec = resolver(source=Keys(), shape=shape, open_route=lambda *given: open_route(*given, sessions=True)).connection(
        "api", CALLER
    )

    assert spec
    assert spec.extra is None
    assert spec.password
    assert SESSIONS.supply(spec.password)


def test_forked_child_has_none() -> None:
    """A child of the process asks anew."""
    route = SESSIONS.route("forking", supply)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, b"0" if SESSIONS.supply(route.capability) else b"1")
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 1) == b"1"
    os.close(reader)
    os.waitpid(child, 0)
    assert SESSIONS.supply(route.capability)
