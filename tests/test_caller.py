"""Who asks, and what of it may go into a request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, convert
from msgspec.structs import replace

from airflow_ephemeral_secrets.caller import FACTS, STAMPED, Attribution, Caller, Template
from airflow_ephemeral_secrets.errors import AccessDenied

TASK = Caller(process="task", dag_id="d", task_id="t", run_id="r", team="m")


@pytest.mark.parametrize(
    "value",
    [
        "orders",
        "orders_sync-2.v1",
        "group.task",
        "manual__2026-01-31T12:00:00+00:00",
        "a=b,c@d",
        "x" * 250,
    ],
)
def test_safe_facts(value: str) -> None:
    """What Airflow itself makes of ids, run ids included, may stand in a request."""
    assert Caller(run_id=value).fact("run_id") == value


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "a b", "a/b", "../x", "a\n", "\na", "a\0", "*", "a*", "?", "a;b", "a&b", "a#b", "a%2f", "a\\b"),
        *('a"b', "a'b", "{team}", "a{", "a|b", "$x", "é", "\u0430", "\u0661", "<a>", "x" * 251),
    ],
)
def test_unsafe_facts(value: str) -> None:
    """A fact that could change the request it stands in is refused by name, without being repeated."""
    with pytest.raises(AccessDenied) as caught:
        Caller(dag_id=value).fact("dag_id")

    assert caught.value.code == "caller_fact_unsafe"
    assert caught.value.reason == "the caller's dag_id holds characters that are not allowed in {dag_id}"


@pytest.mark.parametrize("name", FACTS)
def test_missing_facts(name: str) -> None:
    """A fact that the caller lacks is refused by name, saying where it was asked."""
    with pytest.raises(AccessDenied) as caught:
        Caller(process="parse").fill(f"a{{{name}}}b")

    assert caught.value.code == "caller_fact_missing"
    assert f"the recipe needs {{{name}}}" in caught.value.reason
    assert "in a parse process" in caught.value.reason
    assert f"taking {{{name}}} out of the recipe" in str(caught.value)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{dag_id}", "d"),
        ("a-{dag_id}-{task_id}/{run_id}.{team}", "a-d-t/r.m"),
        ("{dag_id}{dag_id}", "dd"),
        ("{dag} {try_number} {token} {}", "{dag} {try_number} {token} {}"),
        ("{{dag_id}}", "{d}"),
    ],
)
def test_fills(template: str, filled: str) -> None:
    """Each placeholder of a fact is replaced, wherever it stands; other braces are left alone."""
    assert TASK.fill(template) == filled


def test_needs_only_what_stands_there() -> None:
    """A caller without any fact may use a template without placeholders."""
    assert Caller().fill("reader") == "reader"


@given(st.lists(st.sampled_from([*(f"{{{fact}}}" for fact in FACTS), *"ab{}_", "dag_id", "\n"]), max_size=8))
def test_no_brace_is_left_of_an_accepted_template(parts: list[str]) -> None:
    """Every template that the configuration accepts is filled whole."""
    try:
        template = convert("".join(parts), Template)
    except ValidationError:
        return
    assert not set(TASK.fill(template)) & set("{}")


@pytest.mark.parametrize(
    ("attribution", "stamp"),
    [
        ("none", {}),
        ("dag", {"dag_id": "d"}),
        ("run", {"dag_id": "d", "run_id": "r"}),
        ("task", {"dag_id": "d", "run_id": "r", "task_id": "t"}),
    ],
)
def test_stamps(attribution: Attribution, stamp: dict[str, str]) -> None:
    """Each attribution names what it says and no more; what the caller lacks is ``unknown``."""
    assert TASK.stamp(attribution) == stamp
    assert Caller().stamp(attribution) == dict.fromkeys(stamp, "unknown")
    assert list(TASK.stamp(attribution)) == list(STAMPED[attribution])


def test_nothing_is_proven_by_default() -> None:
    """What a worker tells about itself is claimed: a caller is an unknown script until somebody knows better."""
    assert Caller() == Caller(process="script", proven=())
    assert [getattr(Caller(), fact) for fact in FACTS] == [None] * 4


def test_correlation_ids_name_one_try() -> None:
    """Two tries, map indices or runs never share an id; it is a W3C trace id, and nobody has one outside of a task."""
    base = Caller(process="task", dag_id="d", run_id="r", task_id="t", try_number=1, map_index=-1)
    others = [replace(base, **{name: value}) for name, value in (("try_number", 2), ("map_index", 0), ("run_id", "s"))]
    ids = {one.correlation_id for one in (base, *others)}

    assert len(ids) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", str(one)) for one in ids)
    assert Caller(process="script").correlation_id is None
