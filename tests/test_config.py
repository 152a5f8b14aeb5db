"""A document becomes a configuration, or every reason why not."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.caller import FACTS
from airflow_ephemeral_secrets.config import SECTIONS, Config, from_document, owned, read_file
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.schema import json_schema
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES
from airflow_ephemeral_secrets.sources.kinds import load as load_place
from tests.broken import MEANING, TYPES, WHOLE, Fault

CANARY = "hunter2"
NUMBER = 31415926535

TOKEN = "version: 1\nsecrets: {k: {from: env, name: K}}\nsources: {s: {kind: static, token: {secret: k}}}\n"


def load(text: str) -> Config:
    return from_document(document.parse(text), "f.yaml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return caught.value.problems


def names(text: str) -> tuple[set[str], set[str]]:
    config = load(text)
    return {recipe.pattern for recipe in config.connections}, {recipe.pattern for recipe in config.variables}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_reads_whole_files(name: str) -> None:
    """A file without a fault is read, with all the names it holds."""
    raw = document.parse(WHOLE[name])

    assert names(WHOLE[name]) == (set(raw.get("connections") or ()), set(raw.get("variables") or ()))


@pytest.mark.parametrize("fault", [*TYPES, *MEANING], ids=str)
def test_reports_a_fault_at_its_path(fault: Fault) -> None:
    """A fault is one problem, at the path of what has to be mended; mended, the file is read."""
    assert [problem.partition(": ")[0] for problem in problems(fault.text)] == [fault.path]
    assert load(fault.mended)


def test_reports_all_problems_at_once() -> None:
    """One look at the errors is enough to mend the whole file."""
    found = problems("""\
versoin: 1
secrets:
  k: {from: env}
  l: {from: vault}
sources:
  role: {kind: aws_assume_role, role_arn: reader, region: eu-west-1, ttl: 15 minutes, tags: {a: 1, b: 2}}
  short: {kind: aws_session, region: eu-west-1, ttl: 0s}
  login: {kind: static, username: u, password: sesame}
  token: {kind: static, token: {secret: l}}
connections:
  lake: {source: roles, shape: aws}
  api: {source: token, shape: http, host: http://example.com, headers: {authorization: a, X-A: "{password}"}}
  "hr_*": {source: token, shape: aws}
  later: {source: short}
variables:
  V: {source: token, value: "{tokens}"}
  W: {source: tokne, value: "{token}"}
store: {host: shm}
network: {deadline: 1h}
""")

    assert [problem.partition(": ")[0] for problem in found] == [
        "versoin",
        "version",
        "secrets.k.name",
        "secrets.l.from",
        "sources.role.ttl",
        "sources.role.role_arn",
        "sources.role.tags.a",
        "sources.role.tags.b",
        "sources.login.password",
        "connections.later.shape",
        "sources.short.ttl",
        "connections.lake.source",
        "variables.W.source",
        "connections.api.host",
        "connections.api.headers.authorization",
        "connections.api.headers.X-A",
        "connections.hr_*.shape",
        "variables.V.value",
        "store.host",
        "network.deadline",
    ]


def test_the_message_counts_what_it_leaves_out() -> None:
    """The message shows three problems, tells how many more there are, and names the file."""
    with pytest.raises(ConfigError) as caught:
        load("version: 1\n" + "".join(f"x{number}: 1\n" for number in range(5)))

    assert len(caught.value.problems) == 5
    assert str(caught.value).startswith("configuration f.yaml is not usable: x0: unknown key")
    assert "x2: unknown key" in str(caught.value)
    assert "x3" not in str(caught.value)
    assert "; and 2 more" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 1\nconection: {}", "conection: unknown key; did you mean 'connections'?"),
        ("version: 1\nsecrets: {k: {from: evn, name: K}}", "secrets.k.from: unknown 'evn'; did you mean 'env'?"),
        (
            "version: 1\nsources: {s: {kind: aws_assume_rol, region: eu-west-1}}",
            "sources.s.kind: unknown 'aws_assume_rol'; did you mean 'aws_assume_role'?",
        ),
        (
            TOKEN + "connections: {c: {source: s, shape: htp}}",
            "connections.c.shape: unknown 'htp'; did you mean 'http'?",
        ),
        (
            TOKEN + "connections: {c: {source: s, shape: http, host: h, hedaers: {}}}",
            "connections.c.hedaers: unknown key; did you mean 'headers'?",
        ),
        (
            TOKEN + "connections: {c: {source: s, shape: http, host: h, allow: {dag: [d]}}}",
            "connections.c.allow.dag: unknown key; did you mean 'dags'?",
        ),
        (
            TOKEN.replace("static", "static, tll: 5m"),
            "sources.s.tll: unknown key; did you mean 'ttl'?",
        ),
        (
            TOKEN.replace("{s:", "{orders:") + "variables: {V: {source: order, value: v}}",
            "variables.V.source: no source 'order' under sources; did you mean 'orders'?",
        ),
        (
            "version: 1\nnetwork: {xyzzy: 1}",
            "network.xyzzy: unknown key; known: allow_endpoints, ca_file, deadline, proxy",
        ),
        ("version: 1\nsources: {s: {kind: xyzzy}}", f"sources.s.kind: unknown 'xyzzy'; known: {', '.join(SOURCES)}"),
    ],
)
def test_suggests_the_nearest_name(text: str, problem: str) -> None:
    """A misspelt name is answered with the nearest one known, or with all of them where none is near."""
    assert problems(text) == (problem,)


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("sources.s.attribution", ["none", "dag", "run", "task"]),
        ("connections.c.schema", ["https", "http"]),
    ],
)
def test_says_which_words_are_accepted(path: str, accepted: list[str]) -> None:
    """Where only some words are accepted, the problem lists them."""
    section, _, key = path.split(".")
    source = "kind: static, token: {secret: k}" + (f", {key}: xyzzy" if section == "sources" else "")
    connection = "source: s, shape: http, host: h" + (f", {key}: xyzzy" if section == "connections" else "")
    text = TOKEN.replace("kind: static, token: {secret: k}", source) + f"connections: {{c: {{{connection}}}}}"

    (problem,) = problems(text)

    assert problem.startswith(f"{path}: ")
    assert "'xyzzy'" in problem
    assert [word for word in accepted if word not in problem.partition(": ")[2].replace("'xyzzy'", "")] == []


def test_a_mismatch_names_what_would_fit() -> None:
    """A source and shape that do not match are told apart in words, with the shapes that would do."""
    (problem,) = problems(
        "version: 1\nsources: {s: {kind: aws_session, region: eu-west-1}}\n"
        "connections: {c: {source: s, shape: http, host: h}}"
    )

    assert "which mints AWS keys" in problem
    assert problem.endswith("shapes that fit this source: aws, fields, http_sigv4, mysql, opensearch, postgres")


STATIC = [name for name, place in SHAPES.items() if not load_place(place).has_live_form()]


@pytest.mark.parametrize("shape", STATIC)
@pytest.mark.parametrize("live", ["true", "false"])
def test_a_shape_without_a_live_form_says_why(shape: str, live: str) -> None:
    """``live`` where it does not belong is no unknown key: the problem says why, and which shapes have it."""
    found = problems(TOKEN + f"connections: {{c: {{source: s, shape: {shape}, live: {live}}}}}")
    (problem,) = [problem for problem in found if problem.startswith("connections.c.live: ")]

    assert problem.startswith(
        f"connections.c.live: shape {shape!r} has no live form: {load_place(SHAPES[shape]).why_static}; "
    )
    assert problem.endswith(f"those that have one: {', '.join(name for name in SHAPES if name not in STATIC)}")


def test_a_shape_that_is_always_live_says_so() -> None:
    """``live`` on a shape that cannot be otherwise is told to go."""
    found = problems("version: 1\nconnections: {c: {source: s, shape: http_sigv4, host: 'https://a.b', live: true}}")

    assert "connections.c.live: shape 'http_sigv4' is always live; leave it out" in found


def test_an_unfillable_placeholder_names_those_that_are_filled() -> None:
    """A placeholder that the source cannot fill is answered with those that it can."""
    (problem,) = problems(TOKEN + 'variables: {V: {source: s, value: "{password}"}}')

    assert problem.endswith("{password} cannot be filled by source kind 'static'; it fills {expires_at}, {token}")


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nsecrets: {k: {from: vault}}\nsources: {s: {kind: static, token: {secret: k}}}",
        "version: 1\nsources: {s: {kind: nothing}}\nconnections: {c: {source: s, shape: aws}}",
        "version: 1\nsources: {s: {kind: aws_session, region: x}}\nvariables: {V: {source: s, value: '{token}'}}",
    ],
)
def test_a_fault_has_no_echo(text: str) -> None:
    """What refers to a broken entry is not itself a problem: mending one place mends the file."""
    assert len(problems(text)) == 1


@pytest.mark.parametrize("fact", FACTS)
def test_caller_facts_may_stand_in_templates(fact: str) -> None:
    """``{dag_id} {task_id} {run_id} {team}`` may stand alone in a role ARN, an external id and a session tag."""
    assert load(f"""\
version: 1
sources:
  s: {{kind: aws_assume_role, role_arn: "arn:aws:iam::111122223333:role/{{{fact}}}", region: eu-west-1,
      external_id: "{{{fact}}}", tags: {{who: "{{{fact}}}"}}}}
""")


def test_exact_names_beat_patterns_and_the_first_pattern_wins() -> None:
    """An exact conn_id wins wherever it stands; among patterns the first in the file does."""
    entry = "{source: s, shape: http, host: h}"
    config = load(TOKEN + f'connections:\n  "hr_*": {entry}\n  "hr_p*": {entry}\n  hr_pay: {entry}\n  "*": {entry}\n')

    owners = {name: config.connections.match(name) for name in ("hr_pay", "hr_people", "hr_x", "other", "HR_x")}

    assert {name: owner and owner.pattern for name, owner in owners.items()} == {
        "hr_pay": "hr_pay",
        "hr_people": "hr_*",
        "hr_x": "hr_*",
        "other": "*",
        "HR_x": "*",
    }


def test_connections_and_variables_are_apart() -> None:
    """A conn_id is looked up under connections only, a variable under variables only."""
    config = load(TOKEN + "connections: {a: {source: s, shape: http, host: h}}\nvariables: {b: {source: s, value: v}}")

    assert config.connections.match("a")
    assert config.connections.match("b") is None
    assert config.variables.match("b")
    assert config.variables.match("a") is None


def test_defaults() -> None:
    """What the file leaves out is as the contract says: store auto, 10 s for a lookup, no mint while parsing."""
    config = load("version: 1")

    assert (config.store.host, config.network.deadline, config.parse.mint, config.audit.file) == (
        "auto",
        "10s",
        False,
        None,
    )


@pytest.mark.parametrize("ttl", ["169h", "8d", "200h"])
def test_no_life_is_longer_than_a_week(ttl: str) -> None:
    """A ttl that every lease would be refused for is a problem of the configuration."""
    (problem,) = problems(
        f"version: 1\nsecrets: {{k: {{from: env, name: K}}}}\n"
        f"sources: {{s: {{kind: static, token: {{secret: k}}, ttl: {ttl}}}}}"
    )

    assert problem.startswith("sources.s.ttl: ")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("/dev/log", None),
        ("/run/a:b", None),
        ("192.0.2.7:514", None),
        ("[::1]:65535", None),
        ("192.0.2.300:514", "'192.0.2.300' does not appear to be an IPv4 or IPv6 address"),
        ("[:::::]:514", "':::::' does not appear to be an IPv4 or IPv6 address"),
        ("192.0.2.7:65536", "65536 is not a port"),
        ("192.0.2.7:0", "0 is not a port"),
    ],
)
def test_address_of_syslog(address: str, problem: str | None) -> None:
    """What syslog could never be sent to is a problem of the configuration, not of each lookup."""
    text = f"version: 1\naudit: {{syslog: {{address: '{address}'}}}}"

    if problem:
        assert problems(text) == (f"audit.syslog: {problem}",)
    else:
        assert load(text).audit.syslog


def test_reads_what_is_written() -> None:
    """Settings, secrets, sources and recipes carry what the file says."""
    config = load(WHOLE["everything"])
    api, keys = config.connections.match("api"), config.connections.match("keys")

    assert (config.store.host, config.network.deadline, config.parse.mint) == ("/dev/shm/leases", "5m", True)
    assert config.network.proxy == "http://127.0.0.1:3128"
    assert set(config.secrets) >= {"manager", "variable", "mounted"}
    assert (config.sources["role"].ttl, config.sources["role"].attribution) == ("1h30m", "task")
    assert api
    assert (api.source_name, api.source, dict(api.references), api.proofs) == (
        "key",
        config.sources["key"],
        {"manager": config.secrets["manager"], "variable": config.secrets["variable"]},
        (config.secrets["manager"],),
    )
    assert keys
    assert (keys.source_name, dict(keys.references), keys.proofs) == ("worker", {}, ())


def test_reads_a_file(tmp_path: Any) -> None:
    """A file is read by its path, and its problems name it."""
    path = tmp_path / "ephemeral.yaml"
    path.write_text("version: 1")
    assert read_file(str(path)).where == str(path)

    path.write_text("version: 2")
    with pytest.raises(ConfigError, match="version: required; the only version is 1") as caught:
        read_file(str(path))
    assert caught.value.where == str(path)


# Secrets that somebody wrote into the file

LITERAL = {
    "secrets": "version: 1\nsecrets: @",
    "secret": "version: 1\nsecrets: {k: @}",
    "secret-value": "version: 1\nsecrets: {k: {from: env, name: K, value: @}}",
    "secret-name": "version: 1\nsecrets: {k: {from: env, name: [@]}}",
    "source": "version: 1\nsources: {s: @}",
    "sources": "version: 1\nsources: [@]",
    "token": "version: 1\nsources: {s: {kind: static, token: @}}",
    "token-in-a-list": "version: 1\nsources: {s: {kind: static, token: [@]}}",
    "token-as-a-name": TOKEN.replace("secret: k", "secret: @"),
    "token-under-value": TOKEN.replace("secret: k", "value: @"),
    "password": "version: 1\nsources: {s: {kind: static, username: u, password: @}}",
    "client-secret": TOKEN.replace("token:", "client_secret: @, token:"),
    "secret-access-key": "version: 1\nsources: {s: {kind: aws_session, region: eu-west-1, secret_access_key: @}}",
    "endpoint": 'version: 1\nsources: {s: {kind: aws_assume_role, role_arn: "arn:aws:iam::111122223333:role/r",'
    ' region: eu-west-1, endpoint_url: "https://user:@@sts.example.com"}}',
    "secret-endpoint": "version: 1\nsecrets: {k: {from: aws_secrets_manager, secret_id: i, region: eu-west-1,"
    ' endpoint_url: "https://user:@@sts.example.com"}}',
    "proxy": 'version: 1\nnetwork: {proxy: "http://user:@@proxy.example.com:3128"}',
    "connection": TOKEN + "connections: {c: @}",
    "connection-uri": TOKEN + 'connections: {c: "https://user:@@example.com"}',
    "connection-password": TOKEN + "connections: {c: {source: s, shape: http, host: h, password: @}}",
    "connection-token": TOKEN + "connections: {c: {source: s, shape: http, host: h, token: @}}",
    "host": TOKEN + 'connections: {c: {source: s, shape: http, host: "https://user:@@example.com"}}',
    "header": TOKEN + "connections: {c: {source: s, shape: http, host: h, headers: {X-Key: [@]}}}",
    "header-as-a-name": TOKEN + "connections: {c: {source: s, shape: http, host: h, headers: {X-Key: {secret: @}}}}",
    "headers": TOKEN + 'connections: {c: {source: s, shape: http, host: h, headers: "X-Key: @"}}',
    "twice": TOKEN + "connections: {c: {source: s, shape: http, host: h, headers: {authorization: @}}}",
    "placeholder": TOKEN + "connections: {c: {source: s, shape: http, host: h, headers: {X-A: '@ {password}'}}}",
    "extra": TOKEN + """connections: {c: {source: s, shape: http, host: h, extra: '{"password": "@"}'}}""",
    "extra-of-fields": TOKEN + """connections: {c: {source: s, shape: fields, conn_type: t, extra: '{"a": "@"}'}}""",
    "extra-in-a-list": TOKEN + "connections: {c: {source: s, shape: fields, conn_type: t, extra: [@]}}",
    "fields-password": TOKEN + "connections: {c: {source: s, shape: fields, conn_type: t, password: [@]}}",
    "fields-login": TOKEN + "connections: {c: {source: s, shape: fields, conn_type: t, login: {password: @}}}",
    "aws-extra": "version: 1\nsources: {s: {kind: aws_session, region: eu-west-1}}\n"
    "connections: {c: {source: s, shape: aws, extra: {aws_secret_access_key: @}}}",
    "variable": TOKEN + "variables: {V: @}",
    "variable-in-a-list": TOKEN + "variables: {V: {source: s, value: [@]}}",
    "variable-placeholder": TOKEN + "variables: {V: {source: s, value: '@ {password}'}}",
    "audit": 'version: 1\naudit: "@"',
}
"""Where people write a secret that should be a reference; ``@`` is the secret."""

NUMBERS = {
    "token": "version: 1\nsources: {s: {kind: static, token: @}}",
    "secret": "version: 1\nsecrets: {k: @}",
    "connection-password": TOKEN + "connections: {c: {source: s, shape: fields, conn_type: t, password: @}}",
    "header": TOKEN + "connections: {c: {source: s, shape: http, host: h, headers: {X-Key: @}}}",
    "extra": TOKEN + "connections: {c: {source: s, shape: http, host: h, extra: @}}",
    "variable": TOKEN + "variables: {PIN: {source: s, value: @}}",
}


@pytest.mark.parametrize("text", LITERAL.values(), ids=LITERAL)
def test_never_shows_a_secret(text: str) -> None:
    """A secret written into the file appears in no problem and not in the message."""
    with pytest.raises(ConfigError) as caught:
        load(text.replace("@", CANARY, 1))

    assert CANARY not in str(caught.value) + repr(caught.value) + repr(caught.value.problems)


@pytest.mark.parametrize("text", NUMBERS.values(), ids=NUMBERS)
def test_never_shows_a_secret_number(text: str) -> None:
    """A PIN that YAML reads as a number is as secret as text."""
    assert str(NUMBER) not in repr(problems(text.replace("@", str(NUMBER))))


# Names that a broken file still claims


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_owned_agrees_with_the_configuration(name: str) -> None:
    """What ``owned`` reads from a file without faults are the names that the configuration holds."""
    claimed = owned(document.parse(WHOLE[name]))

    assert (set(claimed.connections), set(claimed.variables)) == names(WHOLE[name])


@pytest.mark.parametrize(
    ("text", "connections", "variables"),
    [
        ("version: 2\nconnections: {a: {}, 'b*': 5}\nvariables: {V: }", {"a", "b*"}, {"V"}),
        ("connections: {a: }", {"a"}, set()),
        ("version: 1\nsources: []\nconnections: {a: [], b: x}", {"a", "b"}, set()),
        ("version: 1\nsecrets: none\nvariables: {'V?': {source: nowhere}}", set(), {"V?"}),
        ("nonsense: 1\nconnections: {a: {source: s}}\nvariables: {}", {"a"}, set()),
    ],
)
def test_owned_reads_names_of_a_broken_file(text: str, connections: set[str], variables: set[str]) -> None:
    """However broken the rest is, names that can be read are claimed, and no other."""
    claimed = owned(document.parse(text))

    assert problems(text)
    assert (set(claimed.connections), set(claimed.variables)) == (connections, variables)


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("[a, b]", ["connections", "variables"]),
        ("text", ["connections", "variables"]),
        ("---", ["connections", "variables"]),
        ("version: 1\nconnections: [orders]", ["connections"]),
        ("version: 1\nconnections: orders", ["connections"]),
        ("version: 1\nconnections: {orders: {}}\nvariables: [V]", ["variables"]),
        ("version: 1\nconections: {orders: {}}", ["connections"]),
        ("version: 1\nconnections:\norders: {}", ["connections"]),
        ("version: 1\nvariabels: {V: {}}", ["variables"]),
    ],
)
def test_owned_claims_all_where_names_cannot_be_read(text: str, sections: list[str]) -> None:
    """Where the names cannot be read, a misspelt section included, no lookup falls through to a stale secret."""
    claimed = owned(document.parse(text))

    assert problems(text)
    assert [section for section in sections if not getattr(claimed, section).match("anything")] == []


def test_owned_matches_as_the_configuration_does() -> None:
    """In a broken file too, patterns match by ``fnmatch``, and other names are not ours."""
    claimed = owned({"connections": {"hr_*": None, "pay": None}})

    assert [claimed.connections.match(name) for name in ("hr_x", "pay", "hr", "other")] == ["hr_*", "pay", None, None]


# Arbitrary input

WORDS = st.sampled_from(
    [
        *SECTIONS,
        *SOURCES,
        *SHAPES,
        *REFERENCES,
        *("s", "k", "c", "hr_*", "[", "", "15m", "15m\n", "0s", "eu-west-1", "{token}", "{dag_id}", "{", "https://h"),
        *("kind", "from", "shape", "source", "secret", "ttl", "region", "role_arn", "token", "username", "password"),
        *("host", "headers", "extra", "allow", "dags", "value", "name", "path", "conn_type", "policy", "tags", "auto"),
        "arn:aws:iam::111122223333:role/r",
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | WORDS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(), inner, max_size=4)
)
ENTRIES = st.dictionaries(st.sampled_from(["s", "k", "hr_*"]), VALUES, max_size=3)
DOCUMENTS = st.fixed_dictionaries({"version": st.just(1)}, optional=dict.fromkeys(SECTIONS[1:], ENTRIES | VALUES))


def decided(raw: Any) -> Config | ConfigError:
    try:
        return from_document(raw, "f.yaml")
    except ConfigError as error:
        return error


@settings(deadline=None, max_examples=300)
@given(VALUES | DOCUMENTS)
def test_decides_about_any_value(raw: Any) -> None:
    """Any plain value is a configuration or has problems, each with its path; nothing else leaves the loader."""
    outcome = decided(raw)

    assert isinstance(outcome, Config) or outcome.problems
    assert isinstance(outcome, Config) or all(": " in problem for problem in outcome.problems)


@settings(deadline=None, max_examples=300)
@given(VALUES | DOCUMENTS)
def test_claims_the_names_of_any_value(raw: Any) -> None:
    """However broken a document is, each name that can be read in it is claimed."""
    claimed = owned(raw)

    for section in ("connections", "variables"):
        book, entries = getattr(claimed, section), raw.get(section) if isinstance(raw, dict) else None
        exact = [name for name in entries if not set(name) & set("*?[")] if isinstance(entries, dict) else []
        assert [name for name in exact if book.match(name) is None] == []


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """Draw a whole file with one value in it replaced, removed or added."""
    raw = copy.deepcopy(document.parse(WHOLE["everything"]))
    place, key = raw, draw(st.sampled_from(SECTIONS))
    while isinstance(place[key], (dict, list)) and place[key] and draw(st.integers(0, 5)):
        place = place[key]
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    if isinstance(place, dict) and draw(st.booleans()):
        key = draw(WORDS | st.just(key))
    if isinstance(place, dict) and key in place and not draw(st.integers(0, 4)):
        del place[key]
    else:
        place[key] = draw(VALUES)
    return raw


@settings(deadline=None, max_examples=300)
@given(changed())
def test_accepts_nothing_that_the_schema_rejects(raw: Any) -> None:
    """Whatever the loader accepts, the JSON Schema accepts: an editor never marks a file that works."""
    if isinstance(decided(raw), Config):
        assert list(_validator().iter_errors(raw)) == []


def test_a_deep_inline_configuration_is_a_problem() -> None:
    """An inline configuration, which no parser of ours has bounded, cannot exhaust the stack."""
    deep: Any = {}
    for _ in range(5_000):
        deep = {"a": deep}
    raw = document.parse(TOKEN + "connections: {c: {source: s, shape: fields, conn_type: t}}")
    raw["connections"]["c"]["extra"] = deep

    assert isinstance(decided(raw), ConfigError)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("no_such_module:Thing", "'theirs' cannot be loaded from no_such_module:Thing (ModuleNotFoundError)"),
        ("collections:NoSuchName", "'theirs' cannot be loaded from collections:NoSuchName (AttributeError)"),
        ("collections:OrderedDict", "collections:OrderedDict is not a Source with the tag 'theirs'"),
        (
            "airflow_ephemeral_secrets.testing:FakeSource",
            "airflow_ephemeral_secrets.testing:FakeSource is not a Source with the tag 'theirs'",
        ),
    ],
)
def test_a_broken_entry_point_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, problem: str
) -> None:
    """What another package adds and cannot be used is told where it is named, and hides nothing else."""
    package = tmp_path / "theirs-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[airflow_ephemeral_secrets.sources]\ntheirs = {place}\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ConfigError) as caught:
        from_document(document.parse("version: 1\nsources: {s: {kind: theirs}, t: {kind: xyzzy}}"), "a test")

    assert caught.value.problems[0] == f"sources.s.kind: {problem}"
    assert caught.value.problems[1].startswith("sources.t.kind: unknown 'xyzzy'")
    assert "theirs" not in json.dumps(json_schema())
