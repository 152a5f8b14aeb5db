"""Which name becomes what, and when two requests are the same."""

from __future__ import annotations

import json
import string
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.caller import FACTS, STAMPED, Caller
from airflow_ephemeral_secrets.config import Config, from_document
from airflow_ephemeral_secrets.errors import AccessDenied
from airflow_ephemeral_secrets.leases.lease import LeaseKey, lease_key
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.recipe import Book, Recipe, secret_names
from airflow_ephemeral_secrets.sources.aws_client import AMBIENT
from airflow_ephemeral_secrets.sources.base import Source
from airflow_ephemeral_secrets.sources.kinds import SOURCES, load
from tests.broken import WHOLE

TASK = Caller(process="task", dag_id="d", task_id="t", run_id="r", team="m")
CANARY = "hunter2"

CONFIG = """\
version: 1
secrets:
  a: {from: env, name: A}
  b: {from: file, path: /b}
  c: {from: aws_secrets_manager, secret_id: c, region: eu-west-1}
sources:
  role: {kind: aws_assume_role, role_arn: "arn:aws:iam::111122223333:role/{dag_id}", region: eu-west-1,
         attribution: none, tags: {who: "{team}"}}
  pod: {kind: aws_assume_role, role_arn: "arn:aws:iam::111122223333:role/r", region: eu-west-1,
        web_identity_token_file: /t, attribution: none}
  worker: {kind: aws_session, region: eu-west-1}
  rds: {kind: aws_rds_token, region: eu-west-1, host: h, port: 1, username: u}
  redshift: {kind: aws_redshift, region: eu-west-1, cluster: c, database: d}
  ecr: {kind: aws_ecr, region: eu-west-1}
  eks: {kind: aws_eks, region: eu-west-1, cluster: c}
  codeartifact: {kind: aws_codeartifact, region: eu-west-1, domain: dd, owner: "111122223333"}
  token: {kind: static, token: {secret: a}}
  login: {kind: static, username: {secret: a}, password: {secret: c}}
variables:
  role: {source: role, value: "{access_key_id}"}
  pod: {source: pod, value: "{access_key_id}"}
  worker: {source: worker, value: "{access_key_id}"}
  rds: {source: rds, value: "{password}"}
  redshift: {source: redshift, value: "{password}"}
  ecr: {source: ecr, value: "{password}"}
  eks: {source: eks, value: "{token}"}
  codeartifact: {source: codeartifact, value: "{token}"}
  token: {source: token, value: "{token}"}
  login: {source: login, value: "{password}"}
"""
NAMES = ("role", "pod", "worker", "rds", "redshift", "ecr", "eks", "codeartifact", "token", "login")


def config(text: str = CONFIG) -> Config:
    return from_document(document.parse(text), "f.yaml")


def recipe(name: str, text: str = CONFIG) -> Recipe:
    found = config(text).variables.match(name)
    assert found
    return found


def key(of: Recipe, caller: Caller = TASK) -> LeaseKey:
    return of.lease_key(caller, of.facts(caller))


# The book


def test_exact_names_win() -> None:
    """An exact name wins over patterns, wherever it stands."""
    assert Book([("*", "all"), ("a?", "pattern"), ("ab", "exact")]).match("ab") == "exact"


def test_the_first_pattern_wins() -> None:
    """Among patterns that match, the first in file order wins."""
    book = Book([("a*", 1), ("ab*", 2), ("*", 3)])

    assert [book.match(name) for name in ("abc", "a", "b")] == [1, 1, 3]


@pytest.mark.parametrize(
    ("pattern", "name", "owned"),
    [
        ("hr_*", "hr_", True),
        ("hr_*", "hr", False),
        ("hr_*", "xhr_a", False),
        ("hr_*", "HR_a", False),
        ("hr_?", "hr_ab", False),
        ("hr_[ab]", "hr_a", True),
        ("hr_[!ab]", "hr_a", False),
        ("hr.a", "hr_a", False),
        ("h(r|s)*", "hr", False),
        ("*", "a\nb", True),
        ("a", "a\n", False),
        ("a*b", "ab\n", False),
        ("[", "[", True),
        ("a[b", "a[b", True),
    ],
)
def test_patterns_are_those_of_fnmatch(pattern: str, name: str, owned: bool) -> None:
    """A pattern matches a whole name, its case included, and nothing in it but ``*?[]`` is special."""
    assert (Book([(pattern, "x")]).match(name) is not None) is owned


def test_an_unowned_name_is_nobodys() -> None:
    """What no entry matches is None, which is how Airflow learns to ask elsewhere."""
    assert Book([("a", 1), ("b*", 2)]).match("c") is None
    assert Book[int]([]).match("c") is None


@given(
    st.lists(st.text("ab*?[]!-", max_size=5), max_size=6, unique=True),
    st.text("ab*?[]!-", max_size=5),
)
def test_the_book_agrees_with_fnmatch(patterns: list[str], name: str) -> None:
    """For any patterns and any name: the exact entry, else the first that ``fnmatch`` says, else None."""
    exact = [pattern for pattern in patterns if pattern == name and not set(pattern) & set("*?[")]
    matching = [pattern for pattern in patterns if set(pattern) & set("*?[") and fnmatchcase(name, pattern)]

    assert Book((pattern, pattern) for pattern in patterns).match(name) == next(iter(exact + matching), None)


def test_lists_every_entry() -> None:
    """Going through a book meets each entry once."""
    assert sorted(Book([("b*", 2), ("a", 1), ("*", 3)])) == [1, 2, 3]


# Facts and secrets


def test_facts_are_filled_in_for_the_caller() -> None:
    """Templates become the caller's facts, in nested fields too; all other fields stay as they are."""
    facts = recipe("role").facts(TASK)

    assert facts["role_arn"] == "arn:aws:iam::111122223333:role/d"
    assert facts["tags"] == {"who": "m"}
    assert facts["region"] == "eu-west-1"


def test_only_templates_are_filled_in() -> None:
    """A session policy is a template; what is not one keeps its braces, and needs no fact of the caller."""
    more = ', policy: {Resource: ["arn:aws:s3:::{dag_id}/*"]}, profile: "{task_id}"}'
    facts = recipe("role", CONFIG.replace(', tags: {who: "{team}"}}', more)).facts(replace(TASK, task_id=None))

    assert (facts["policy"], facts["profile"]) == ({"Resource": ["arn:aws:s3:::d/*"]}, "{task_id}")


def test_a_caller_without_the_facts_is_refused() -> None:
    """A recipe that needs a fact the caller lacks is refused, by name."""
    with pytest.raises(AccessDenied, match=r"needs \{dag_id\}"):
        recipe("role").facts(Caller())


@pytest.mark.parametrize(
    ("name", "secrets"), [("role", {}), ("token", {"token": "a"}), ("login", {"username": "a", "password": "c"})]
)
def test_names_its_secrets(name: str, secrets: dict[str, str]) -> None:
    """A source names each secret it refers to, and where."""
    assert secret_names(config().sources[name]) == secrets


def test_names_secrets_in_mappings() -> None:
    """Secrets in a mapping, such as headers, are named too."""

    class Headers(msgspec.Struct):
        plain: str
        headers: dict[str, Any]

    assert secret_names(Headers("x", {"a": SecretName("k"), "b": "y", "c": SecretName("l")})) == {
        "headers.a": "k",
        "headers.c": "l",
    }


def test_proofs_are_those_of_the_source() -> None:
    """Only what the source proves itself with belongs to the request; what a shape adds does not."""
    text = CONFIG + "connections: {c: {source: token, shape: http, host: h, headers: {X-A: {secret: b}}}}"
    found = config(text).connections.match("c")

    assert found
    assert set(found.references) == {"a", "b"}
    assert found.proofs == (config().secrets["a"],)
    assert key(found) == key(recipe("token"))


# Lease keys


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_stable(name: str) -> None:
    """The same request has the same key in every process: it is a SHA-256 of facts, in no order of their own."""
    assert key(recipe(name)) == key(recipe(name))
    assert len(key(recipe(name))) == 64
    assert set(key(recipe(name))) <= set(string.hexdigits.lower())


def test_requests_that_differ_never_share_a_key() -> None:
    """No two of the sources have one key."""
    assert len({key(recipe(name)) for name in NAMES}) == len(NAMES)


def test_the_kind_of_a_source_is_a_fact() -> None:
    """Two kinds of sources with the very same fields never share a lease."""

    class One(Source, frozen=True, kw_only=True, tag="one"):
        pass

    class Other(Source, frozen=True, kw_only=True, tag="other"):
        pass

    assert key(replace(recipe("token"), source=One())) != key(replace(recipe("token"), source=Other()))


def test_the_name_of_a_source_is_no_fact() -> None:
    """Two configurations that ask for the same share a lease, whatever they call it."""
    assert key(recipe("token")) == key(
        recipe("token", CONFIG.replace("token:", "tkn:", 1).replace("source: token", "source: tkn"))
    )


EVERYTHING = from_document(document.parse(WHOLE["everything"]), "everything")


def changed(value: Any) -> Any:
    """Make a value of the same type that is another."""
    if isinstance(value, SecretName):
        return SecretName(f"another than {value.secret}")
    if isinstance(value, list):
        return [*value, "one more"]
    if isinstance(value, dict):
        return {**value, "one more": "x"}
    return value + 1 if isinstance(value, int) else f"another than {value}"


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field.name) for name, source in EVERYTHING.sources.items() for field in msgspec.structs.fields(source)],
)
def test_any_one_field_changes_the_key(name: str, field: str) -> None:
    """A request that differs in one field of its source, whichever, is another request."""
    source = EVERYTHING.sources[name]
    before = replace(recipe("token"), source=replace(source, attribution="none"))
    value = "task" if field == "attribution" else changed(getattr(source, field))

    assert key(replace(before, source=replace(before.source, **{field: value}))) != key(before)


def test_every_kind_is_tried() -> None:
    """Each kind of source is among those whose fields are changed one by one."""
    assert {type(source) for source in EVERYTHING.sources.values()} == {load(place) for place in SOURCES.values()}


@pytest.mark.parametrize("moved", ["{from: env, name: B}", "{from: file, path: /a}"])
def test_another_place_of_a_secret_changes_the_key(moved: str) -> None:
    """A secret of the same name that lies elsewhere is another secret."""
    assert key(recipe("token", CONFIG.replace("{from: env, name: A}", moved))) != key(recipe("token"))


def test_secrets_that_change_places_change_the_key() -> None:
    """Login and password the other way round are another request, even if the same two secrets prove it."""
    swapped = CONFIG.replace(
        "username: {secret: a}, password: {secret: c}", "username: {secret: c}, password: {secret: a}"
    )

    assert key(recipe("login", swapped)) != key(recipe("login"))


@pytest.mark.parametrize("attribution", STAMPED)
@pytest.mark.parametrize("fact", FACTS)
def test_attribution_decides_which_facts_count(attribution: str, fact: str) -> None:
    """What is stamped on a credential is in its key, and so is the team; what is not is shared."""
    found = recipe("pod", CONFIG.replace("/t, attribution: none", f"/t, attribution: {attribution}"))
    other = key(found, replace(TASK, **{fact: "other"}))

    assert (other != key(found)) is (fact == "team" or fact in STAMPED[attribution])


def test_facts_in_templates_count() -> None:
    """A fact that stands in a template is in the key, even where nothing is stamped."""
    found = recipe("role")

    assert key(found, replace(TASK, dag_id="other")) != key(found)
    assert key(found, replace(TASK, task_id="other")) == key(found)


def test_tries_and_proof_do_not_count() -> None:
    """A retry of a task shares the lease of its first try."""
    found = recipe("role")

    assert key(found, replace(TASK, try_number=2, map_index=3, process="trigger", proven=("dag_id",))) == key(found)


@pytest.mark.parametrize("variable", AMBIENT)
def test_another_identity_of_the_worker_changes_the_key(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides who this worker is to AWS is in the key of what it asks for, unless a token file proves it."""
    before = {name: key(recipe(name)) for name in NAMES}
    monkeypatch.setenv(variable, "other")
    after = {name: key(recipe(name)) for name in NAMES}

    assert {name for name in NAMES if before[name] == after[name]} == {"pod", "token", "login"}


@pytest.mark.parametrize("name", ["token", "login"])
def test_no_secret_is_in_a_key(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is hashed are references: the key stays the same when the secret behind them changes."""
    text = CONFIG.replace(
        "{from: aws_secrets_manager, secret_id: c, region: eu-west-1}", f"{{from: file, path: {tmp_path}/c}}"
    )
    keys = set()
    for secret in (CANARY, "another"):
        monkeypatch.setenv("A", secret)
        (tmp_path / "c").write_text(secret)
        found = recipe(name, text)
        keys.add(key(found))
        assert secret not in msgspec.json.encode([found.facts(TASK), found.proofs, found.source.ambient()]).decode()

    assert len(keys) == 1


@pytest.mark.parametrize(
    "variable", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
)
@pytest.mark.parametrize("name", NAMES)
def test_no_ambient_secret_is_in_a_key(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the worker's own credentials only names and ids are hashed."""
    before = key(recipe(name))
    monkeypatch.setenv(variable, CANARY)

    assert key(recipe(name)) == before
    assert CANARY not in recipe(name).source.ambient().values()


WORDS = st.text(max_size=5) | st.sampled_from(["", "a", "b", "null", "1", "true", '"', "\\", '","', "\0"])
FACT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
SET_OF_FACTS = st.dictionaries(WORDS, FACT, max_size=4)


@settings(deadline=None, max_examples=300)
@given(SET_OF_FACTS, SET_OF_FACTS)
def test_keys_are_equal_only_for_equal_facts(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two sets of facts have one key if and only if they are the same, as JSON sees it."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (lease_key(one) == lease_key(other)) is same


@settings(deadline=None, max_examples=300)
@given(SET_OF_FACTS, WORDS, FACT)
def test_any_change_changes_the_key(facts: dict[str, Any], name: str, value: Any) -> None:
    """Adding a fact, or giving one another value, makes another key; their order does not."""
    changed = {**facts, name: value}
    same = json.dumps(facts, sort_keys=True) == json.dumps(changed, sort_keys=True)

    assert (lease_key(facts) == lease_key(changed)) is same
    assert lease_key(dict(reversed(changed.items()))) == lease_key(changed)
