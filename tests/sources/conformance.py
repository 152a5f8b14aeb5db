"""What every source and every secret reference promises; each kind inherits these tests."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import SourceUnavailable
from airflow_ephemeral_secrets.reading import Problems, SecretName, struct
from airflow_ephemeral_secrets.sources.base import SecretReference, Source
from airflow_ephemeral_secrets.testing import FakeClock, assert_source_conforms, minting
from tests.sources.asking import given, read

Reader = Callable[[SecretName], str] | None

CALLERS = (
    Caller(process="task", dag_id="a_dag", task_id="a_task", run_id="a_run", team="a_team"),
    Caller(process="script"),
)


class SourceConformance:
    """
    Inherit, and give three fixtures.

    ``source`` is a source that mints; ``asked`` counts how often its provider was asked; ``secret`` reads references,
    and is None where the source has none.
    """

    def test_keeps_the_promises_of_sources(self, source: Source, secret: Reader) -> None:
        """Whoever writes a source can check it with the public assertion."""
        assert_source_conforms(source, given(source, secret=secret))

    def test_placeholders_are_fields(self, source: Source, secret: Reader) -> None:
        """Every placeholder that the configuration offers for this kind exists in what is minted."""
        credential = source.mint(given(source, secret=secret))

        assert all(hasattr(credential, name) for name in credential.placeholders)

    def test_does_not_cache(self, source: Source, secret: Reader, asked: Callable[[], int]) -> None:
        """A source asks its provider once each time it mints: holding is the lease cache's work."""
        before = asked()
        for times in (1, 2):
            source.mint(given(source, secret=secret))
            assert asked() == before + times

    def test_says_nothing(self, source: Source, secret: Reader, caplog: pytest.LogCaptureFixture) -> None:
        """No secret reaches a log while it is minted, at any level: nothing masks it yet."""
        with caplog.at_level(logging.DEBUG):
            credential = source.mint(given(source, secret=secret))

        said = "".join(f"{vars(record)} {record.getMessage()}" for record in caplog.records)
        assert [hidden for hidden in credential.secrets() if hidden in said] == []

    @pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.process)
    def test_facts_are_all_its_fields(self, source: Source, caller: Caller) -> None:
        """Facts name every field, so that no two requests that differ share a lease, and can be written as JSON."""
        facts = source.facts(caller)

        assert set(facts) == set(source.__struct_fields__)
        assert msgspec.json.encode(facts)

    def test_shows_no_secret_in_its_facts(self, source: Source, secret: Reader) -> None:
        """What becomes part of the lease key and of explanations holds nothing that must be hidden."""
        made = minting(source, clock=FakeClock(), secret=secret)
        shown = f"{source!r} {made.facts} {made.stamp} {source.ambient()} {source.endpoints()}"
        credential = source.mint(given(source, secret=secret))

        assert not any(hidden in shown for hidden in credential.secrets())

    def test_knows_its_fields(self, source: Source) -> None:
        """A misspelt field is a problem, not ignored."""
        found = Problems()
        struct(type(source), {**msgspec.to_builtins(source), "misspelt": 1}, "source", found, ignore=("kind",))

        assert [problem.partition(":")[0] for problem in found] == ["source.misspelt"]


class ReferenceConformance:
    """Inherit, and give three fixtures: a ``reference``, what it ``holds``, and one that is ``missing``."""

    def test_reads(self, reference: SecretReference, holds: str) -> None:
        """A reference gives what its store holds, unchanged."""
        assert read(reference) == holds

    def test_shows_nothing(self, reference: SecretReference, holds: str) -> None:
        """A reference can be printed, and written into a lease key."""
        read(reference)

        assert holds not in repr(reference)
        assert holds not in msgspec.json.encode(reference).decode()

    def test_missing_is_unavailable(self, missing: SecretReference) -> None:
        """A secret that is not there was never refused: a prerequisite is missing on this worker."""
        with pytest.raises(SourceUnavailable) as caught:
            read(missing)

        assert caught.value.code in {"secret_missing", "file_unusable"}
