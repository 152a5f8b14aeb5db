"""Plain values become typed ones, with every problem and its path."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from airflow_ephemeral_secrets.reading import Problems, SecretName, known, struct

Word = Annotated[str, Meta(pattern="^[a-z]+$", description="a word")]


class Inner(Struct, frozen=True, kw_only=True):
    flag: bool = False


class Thing(Struct, frozen=True, kw_only=True):
    count: Annotated[int, Meta(ge=1)] = 1
    word: Word | None = None
    words: list[Word] = []
    maybe_words: list[Word] | None = None
    table: Annotated[dict[Word, Word], Meta(max_length=2)] = {}
    plain: Annotated[str, Meta(max_length=5)] = ""
    either: Literal["left", "right"] = "left"
    inner: Inner | None = None
    anything: dict[str, Any] = {}
    secret: SecretName | None = None
    open: str | SecretName | None = None
    headers: dict[str, SecretName | str] = {}

    def __post_init__(self) -> None:
        if self.plain == "never":
            raise ValueError("plain and simple do not go together")


class Needy(Struct, frozen=True, kw_only=True):
    first: str
    second: str


def read(raw: Any, cls: Any = Thing) -> tuple[Any, list[str]]:
    problems = Problems()
    return struct(cls, raw, "at", problems), problems


@pytest.mark.parametrize(
    ("raw", "thing"),
    [
        ({}, Thing()),
        ({"count": 3, "word": "a", "plain": "12345"}, Thing(count=3, word="a", plain="12345")),
        ({"word": None, "inner": None, "secret": None, "open": None}, Thing()),
        ({"words": ["a", "b"], "table": {"a": "b"}}, Thing(words=["a", "b"], table={"a": "b"})),
        ({"maybe_words": ["a"]}, Thing(maybe_words=["a"])),
        ({"inner": {"flag": True}}, Thing(inner=Inner(flag=True))),
        ({"anything": {"a": [1, {"b": None}]}}, Thing(anything={"a": [1, {"b": None}]})),
        ({"secret": {"secret": "k"}}, Thing(secret=SecretName("k"))),
        ({"open": "u"}, Thing(open="u")),
        ({"open": {"secret": "k"}}, Thing(open=SecretName("k"))),
        ({"headers": {"a": "b", "c": {"secret": "k"}}}, Thing(headers={"a": "b", "c": SecretName("k")})),
    ],
)
def test_reads(raw: Any, thing: Thing) -> None:
    """What fits is read, whatever it is nested in."""
    assert read(raw) == (thing, [])


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        ({"count": "1"}, ["at.count: expected a whole number, got '1'"]),
        ({"count": True}, ["at.count: expected a whole number, got True"]),
        ({"word": "A b"}, ["at.word: expected a word, got 'A b'"]),
        ({"word": ["a"]}, ["at.word: expected a word, got a list"]),
        ({"word": "A" * 81}, ["at.word: expected a word, got text"]),
        ({"words": ["a", "B", 3]}, ["at.words[1]: expected a word, got 'B'", "at.words[2]: expected a word, got 3"]),
        (
            {"maybe_words": ["a", "B", 3]},
            ["at.maybe_words[1]: expected a word, got 'B'", "at.maybe_words[2]: expected a word, got 3"],
        ),
        (
            {"table": {"A": "b", "c": "D"}},
            ["at.table.A: expected a word, got 'A'", "at.table.c: expected a word, got 'D'"],
        ),
        ({"table": {"a": "b", "c": "d", "e": "f"}}, ["at.table: holds 3 entries, over 2"]),
        (
            {"inner": {"flag": 1, "flog": 2}},
            ["at.inner.flog: unknown key; did you mean 'flag'?", "at.inner.flag: expected true or false, got 1"],
        ),
        ({"inner": {"flag": None}}, ["at.inner.flag: expected true or false, got nothing"]),
        ({"secret": "sesame"}, ["at.secret: a secret goes by reference: {secret: NAME}, with NAME under secrets"]),
        ({"secret": ["sesame"]}, ["at.secret: a secret goes by reference: {secret: NAME}, with NAME under secrets"]),
        ({"secret": {}}, ["at.secret.secret: required"]),
        ({"headers": {"a": {"secret": 5}}}, ["at.headers.a.secret: expected text, got a number"]),
        ({"plain": "never"}, ["at: plain and simple do not go together"]),
        (["a"], ["at: expected a mapping, got a list"]),
        (None, ["at: expected a mapping, got nothing"]),
        ("a", ["at: expected a mapping, got text"]),
        (5, ["at: expected a mapping, got a number"]),
        (5.5, ["at: expected a mapping, got a number"]),
        (True, ["at: expected a mapping, got a boolean"]),
    ],
)
def test_says_where_and_what(raw: Any, problems: list[str]) -> None:
    """Each problem has its path, what is accepted there and what came; nothing typed is made of such a value."""
    assert read(raw) == (None, problems)


def test_reports_everything_at_once() -> None:
    """Unknown keys, missing ones and wrong values of one mapping are all reported."""
    assert read({"frist": 1, "second": 2}, Needy) == (
        None,
        ["at.frist: unknown key; did you mean 'first'?", "at.first: required", "at.second: expected text, got 2"],
    )


def test_says_which_words_are_accepted() -> None:
    """Where one of a few words is expected, the problem lists them."""
    (problem,) = read({"either": "up"})[1]

    assert problem.startswith("at.either: ")
    assert [word for word in ("'up'", "left", "right") if word not in problem] == []


def test_earlier_problems_do_not_matter() -> None:
    """A mapping is judged by its own problems: those found before it elsewhere do not spoil it."""
    problems = Problems(["elsewhere: broken"])

    assert struct(Thing, {"words": ["a"], "table": {"a": "b"}}, "at", problems)
    assert problems == ["elsewhere: broken"]


def test_ignores_what_somebody_else_has_read() -> None:
    """A key that was read before, such as the tag of a kind, is not unknown."""
    problems = Problems()

    assert struct(Inner, {"kind": "x", "flag": True}, "at", problems, ignore=("kind",)) == Inner(flag=True)
    assert problems == []


@pytest.mark.parametrize(
    "field",
    [
        "password",
        "secret",
        "token",
        "api_key",
        "credential",
        "authorization",
        "header",
        "extra",
        "value",
        "endpoint_url",
        "host",
    ],
)
def test_hides_values_of_fields_that_sound_secret(field: str) -> None:
    """Where a secret may have been written, what came is told by its kind alone."""
    problems = Problems()

    struct(Inner, {"flag": "sesame"}, f"at.{field}", problems)

    assert problems == [f"at.{field}.flag: expected true or false, got text"]


@pytest.mark.parametrize(
    ("name", "names", "answer"),
    [
        ("hosts", ["port", "host"], "did you mean 'host'?"),
        ("xyzzy", ["port", "host"], "known: host, port"),
        ("", ["b", "a"], "known: a, b"),
        ("x", [], "known: none"),
    ],
)
def test_known_names(name: str, names: list[str], answer: str) -> None:
    """The nearest known name is suggested, or all are listed in order."""
    assert known(name, names) == answer
