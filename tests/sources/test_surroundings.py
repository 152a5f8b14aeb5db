"""The environment as it was."""

from __future__ import annotations

import os

import pytest

from airflow_ephemeral_secrets.sources.surroundings import Surroundings

NAMES = ("A_SET_VARIABLE", "AN_EMPTY_VARIABLE", "AN_UNSET_VARIABLE")


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    monkeypatch.setenv("A_SET_VARIABLE", "as it was")
    monkeypatch.setenv("AN_EMPTY_VARIABLE", "")
    monkeypatch.delenv("AN_UNSET_VARIABLE", raising=False)
    return {name: os.environ.get(name) for name in NAMES}


def test_what_it_was_is_kept(before: dict[str, str | None]) -> None:
    """However often a variable is changed, what the worker was given is known, and is set back."""
    surroundings = Surroundings()
    for value in ("one", "another"):
        surroundings.lead(**dict.fromkeys(NAMES, value))
        assert [os.environ[name] for name in NAMES] == [value] * 3
        assert {name: surroundings.get(name) for name in NAMES} == before
    surroundings.restore()

    assert {name: os.environ.get(name) for name in NAMES} == before


def test_what_it_did_not_change_is_read(before: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other variables are read as they are, and those that were set back, too."""
    surroundings = Surroundings()
    surroundings.lead(A_SET_VARIABLE="one")
    surroundings.restore()
    monkeypatch.setenv("A_SET_VARIABLE", "later")

    assert {name: surroundings.get(name) for name in NAMES} == {**before, "A_SET_VARIABLE": "later"}
