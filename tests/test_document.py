"""A file becomes plain values, or a reason in words that hold nothing of it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ephemeral_secrets.document import DEEPEST, LARGEST, Unreadable, parse, read
from airflow_ephemeral_secrets.errors import ConfigError

CANARY = "hunter2"


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with each of PyYAML's parsers: which one there is depends on how it was installed."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not yaml.__with_libyaml__:
        pytest.skip("needs PyYAML with libyaml: pip install a wheel of it")


def why(text: str) -> str:
    with pytest.raises(Unreadable) as caught:
        parse(text)
    return str(caught.value)


# Scalars

SCALARS = [
    *((word, word) for word in ("off", "no", "on", "yes", "y", "n", "Off", "NO", "Yes")),
    *((word, True) for word in ("true", "True", "TRUE")),
    *((word, False) for word in ("false", "False", "FALSE")),
    *((word, None) for word in ("null", "Null", "NULL", "~", "")),
    *((word, word) for word in ("tRUE", "nULL", "none", "None")),
    ("0", 0),
    ("-0", 0),
    ("012", 12),
    ("0777", 777),
    ("+7", 7),
    ("-7", -7),
    ("1.5", 1.5),
    (".5", 0.5),
    ("5.", 5.0),
    ("-1.5e-3", -0.0015),
    ("1e3", 1000.0),
    ("1_000", "1_000"),
    ("12:30", "12:30"),
    ("1:2:3", "1:2:3"),
    ("2026-01-31", "2026-01-31"),
    ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
    ("1.2.3", "1.2.3"),
    ("0b101", "0b101"),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("٣", "٣"),
    ("15m", "15m"),
    ("<<", "<<"),
    ("111122223333", 111122223333),
    ("117462847362817263541", 117462847362817263541),
    ("9" * 40, int("9" * 40)),
    ('"012"', "012"),
    ("'true'", "true"),
    ('"null"', "null"),
    ("''", ""),
    (r'"a\tb"', "a\tb"),
    ("arn:aws:iam::111122223333:role/{dag_id}", "arn:aws:iam::111122223333:role/{dag_id}"),
]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_reads_scalars_as_yaml_1_2_does(text: str, value: Any) -> None:
    """A plain scalar is what YAML 1.2 says: no octal zero, no sexagesimal, no ``yes``; a quoted one is text."""
    found = parse(f"a: {text}")["a"]

    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "1e-999", "NaN", "Infinity", "-Infinity", ".inf", ".NaN"])
@pytest.mark.parametrize("form", ["a: @", '{"a": @}'])
def test_no_number_is_infinite(form: str, text: str) -> None:
    """Nothing that JSON cannot say is ever a number, in either notation: two of them would share a lease key."""
    with contextlib.suppress(Unreadable):
        found = parse(form.replace("@", text))["a"]
        assert isinstance(found, str) or math.isfinite(found)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: {b: [1, two, {c: }]}", {"a": {"b": [1, "two", {"c": None}]}}),
        ("- 1\n-\n- [x]\n", [1, None, ["x"]]),
        ("just text", "just text"),
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.2\n---\na: 1\n", {"a": 1}),
        ("a: 1 # why\n# more\n", {"a": 1}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
        ("1: a\ntrue: b\n~: c\n", {"1": "a", "true": "b", "~": "c"}),
        ("'hr_*': é", {"hr_*": "é"}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ],
)
def test_reads_yaml(text: str, value: Any) -> None:
    """Mappings, lists, block and flow text are read; every key is text, as it is written."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{\n\t"a": 1,\n\t"b": [true, null, 1.5e3]\n}\n', {"a": 1, "b": [True, None, 1500.0]}),
        ('\n\t {"a": "\\ud83d\\ude00\\/\\u0041"}', {"a": "😀/A"}),
        ('{"a": "012", "b": "yes"}', {"a": "012", "b": "yes"}),
        ("{a: 1, # YAML\n b: yes}", {"a": 1, "b": "yes"}),
        ('{"a": 1,}', {"a": 1}),
        ("{}", {}),
    ],
)
def test_reads_json(text: str, value: Any) -> None:
    """JSON is read as JSON, tabs included; what begins like it and is not, as YAML."""
    assert parse(text) == value


# Refusals

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

REFUSED = {
    "nothing": ("", "is empty"),
    "white-space": (" \n\t\n", "is empty"),
    "comment": ("# version: 1\n", "is empty"),
    "alias-bomb": (BOMB, "uses an anchor or alias at line 1; neither is accepted"),
    "anchor": ("a: 1\nb: &x 1\n", "uses an anchor or alias at line 2; neither is accepted"),
    "anchor-of-a-mapping": ("a: &x {b: 1}", "uses an anchor or alias at line 1; neither is accepted"),
    "alias": ("a: *x", "uses an anchor or alias at line 1; neither is accepted"),
    "merge": ("a: 1\n<<: *x\n", "uses an anchor or alias at line 2; neither is accepted"),
    "alias-for-a-key": ("*x : 1", "uses an anchor or alias at line 1; neither is accepted"),
    "tag": ("a: !!str 5", "uses a tag at line 1; tags are not accepted"),
    "tag-of-its-own": ("a: 1\nb: !vault x\n", "uses a tag at line 2; tags are not accepted"),
    "tag-of-python": ("!!python/object/apply:os.system [x]", "uses a tag at line 1; tags are not accepted"),
    "tag-of-nothing": ("a: ! x", "uses a tag at line 1; tags are not accepted"),
    "duplicate-key": ("a: 1\nb: 2\na: 3\n", "has the key 'a' twice, again at line 3"),
    "duplicate-key-in-flow": ("a: {b: 1, 'b': 2}", "has the key 'b' twice, again at line 1"),
    "duplicate-key-as-number": ("1: a\n'1': b\n", "has the key '1' twice, again at line 2"),
    "duplicate-key-in-json": ('{"a": {"b": 1, "b": 1}}', "has the key 'b' twice"),
    "documents": ("a: 1\n---\nb: 2\n", "holds more than one document"),
    "key-of-a-list": ("a: 1\n? [x]\n: y\n", "has a key that is not text at line 2"),
    "key-of-a-mapping": ("{{token}: x}", "has a key that is not text at line 1"),
    "key-in-braces": ("a: {{token}}", "has a key that is not text at line 1"),
    "open-quote": ("a: 'x\nb: 1\n", "is not YAML at line"),
    "open-bracket": ("a: [x, y", "is not YAML at line"),
    "tab": ("a:\n\tb: 1\n", "is not YAML at line 2"),
    "indentation": ("a: 1\n  b: 2\n", "is not YAML at line 2"),
    "nul": ("a: b\0c", "is not YAML"),
    "nul-in-json": ('{"a": "b\0c"}', "is not YAML"),
    "control-character": ("a: \x07", "is not YAML"),
    "open-json": ('{"a": {"b": 1}', "is not YAML at line"),
    "unknown-version": ("%YAML 9.9\n---\na: 1\n", "is not YAML at line 1"),
    "lone-surrogate": ("a: \ud800", ""),
    "lone-surrogate-in-json": ('{"a": "\ud800"}', ""),
    "escaped-lone-surrogate": ('a: "\\ud800"', ""),
    "escaped-lone-surrogate-in-json": ('{"a": "\\ud800"}', ""),
    "escaped-lone-surrogate-in-a-key": ('{"\\udc00": 1}', ""),
    "endless-number-in-json": (f'{{"a": {"9" * 5000}}}', ""),
    "deep-lists": ("[" * 100_000, f"is nested deeper than {DEEPEST} levels"),
    "deep-mappings": ('{"a":' * 100_000, f"is nested deeper than {DEEPEST} levels"),
    "deep-json": ('{"a":' * 5_000 + "1" + "}" * 5_000, f"is nested deeper than {DEEPEST} levels"),
    "deep-blocks": ("- " * 5_000 + "x", f"is nested deeper than {DEEPEST} levels"),
}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_refuses(text: str, reason: str) -> None:
    """What is not one plain document within bounds is refused, with the reason and where."""
    assert why(text).startswith(reason)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "mappings"])
@pytest.mark.parametrize("start", ["", "---\n"], ids=["as-it-is", "as-yaml"])
def test_counts_levels(start: str, opening: str, closing: str) -> None:
    """As deep as the bound says is accepted, one level deeper is not, however the document is written."""
    assert parse(start + opening * DEEPEST + "1" + closing * DEEPEST)
    assert (
        why(start + opening * (DEEPEST + 1) + "1" + closing * (DEEPEST + 1))
        == f"is nested deeper than {DEEPEST} levels"
    )


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "text",
    [
        f"password: {CANARY}: x",
        f"password: '{CANARY}",
        f'password: "{CANARY}\nb: 1',
        f'{{"password": "{CANARY}"',
        f'{{"password": "{CANARY}" "x"}}',
        f"password: !{CANARY}! x",
        f"password: &k {CANARY}",
        f"password: !!str {CANARY}",
        f"password: {CANARY}\npassword: {CANARY}",
        f"password: {CANARY}\0",
        f"password: @{CANARY}",
        f"password: %{CANARY}",
        f"password: [{CANARY}",
        f"{CANARY}\npassword: x",
        f"password: {CANARY}\n---\nx: y",
        f'{{"password": "{CANARY}", "password": "{CANARY}"}}',
    ],
)
def test_a_reason_holds_nothing_of_the_content(text: str) -> None:
    """Wherever parsing stops, the value that stands there is not repeated."""
    assert CANARY not in why(text)


@pytest.mark.parametrize("start", ["", "---\n"], ids=["as-json", "as-yaml"])
def test_a_long_key_is_cut(start: str) -> None:
    """A key that stands twice is named, but a very long one not in full."""
    key = json.dumps("k" * 900)

    assert len(why(f"{start}{{{key}: 1, {key}: 2}}")) < 120


# Files


def problem(path: Path | str) -> str:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    assert os.listdir("/proc/self/fd") == before, "no descriptor is left open"
    assert caught.value.where == str(path)
    (only,) = caught.value.problems
    return only


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ephemeral.yaml"


def test_reads_a_file(file: Path) -> None:
    """A file in UTF-8 is read, with or without a byte order mark."""
    file.write_bytes("a: é\n".encode())
    assert read(str(file)) == {"a": "é"}

    file.write_bytes("a: é\n".encode("utf-8-sig"))
    assert read(str(file)) == {"a": "é"}

    file.write_bytes('{"a": "é\\ud83d\\ude00"}'.encode("utf-8-sig"))
    assert read(str(file)) == {"a": "é😀"}


def test_follows_a_symlink(file: Path, tmp_path: Path) -> None:
    """A link to a file is as good as the file: Kubernetes projects configurations so."""
    (tmp_path / "..data").write_text("a: 1")
    file.symlink_to(tmp_path / "..data")

    assert read(str(file)) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"a: \xff\n", "is not UTF-8 (byte 3)"),
        ("a: 1".encode("utf-16"), "is not UTF-8 (byte 0)"),
        ("a: é".encode("latin-1"), "is not UTF-8 (byte 3)"),
        (b"\xed\xa0\x80", "is not UTF-8 (byte 0)"),
        (b"\x1f\x8b\x08\x00", "is not UTF-8 (byte 1)"),
        (b"a: [\n", "is not YAML at line 2, column 1"),
    ],
)
def test_refuses_content(file: Path, content: bytes, reason: str) -> None:
    """Bytes that are not a document in UTF-8 are refused, saying where."""
    file.write_bytes(content)

    assert problem(file).startswith(f"file: {reason}")


def test_refuses_a_large_file(file: Path) -> None:
    """At most 1 MiB is read, of however large a file."""
    file.write_bytes(b"a: " + b"x" * (LARGEST - 3))
    assert len(read(str(file))["a"]) == LARGEST - 3

    file.write_bytes(b"a: " + b"x" * (LARGEST - 2))
    assert problem(file) == "file: is larger than 1024 KiB"

    os.truncate(file, 50_000_000)
    tracemalloc.start()
    assert problem(file) == "file: is larger than 1024 KiB"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * LARGEST


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody: to root, every file is readable."""
    if os.geteuid():
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("needs to run as a user other than root, or with CAP_SETUID")
    try:
        yield
    finally:
        os.seteuid(0)


def test_refuses_an_unreadable_file(file: Path) -> None:
    """A file that this user may not read is told from one that is not there."""
    file.write_text("a: 1")
    file.chmod(0)

    with unprivileged(), pytest.raises(ConfigError) as caught:
        read(str(file))
    assert caught.value.problems == ("file: permission denied",)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file or directory"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "is not a regular file"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("/proc/self/mem"), "input/output error"),
    ],
    ids=["missing", "directory", "fifo", "endless-device", "empty-device", "loop", "read-error"],
)
def test_refuses_what_is_not_a_file(file: Path, make: Callable[[Path], None], reason: str) -> None:
    """Whatever else stands at the path is refused at once, without waiting for a writer."""
    make(file)

    assert problem(file) == f"file: {reason}"


@pytest.mark.parametrize("path", ["", "/a\0b", "/" + "a" * 5000, "/etc/passwd/x", "/\ud800"])
def test_refuses_what_is_not_a_path(path: str) -> None:
    """A path that no file can have is a problem like any other."""
    assert problem(path).startswith("file: ")


# Arbitrary text

LETTERS = st.sampled_from([*"{}[]:,-#&*!|>'\"%@?~ \n\r\tabn01.eE+_<=/\\\0\ufeff\u2028é", "- ", ": "])
TEXTS = st.text() | st.text(st.characters()) | st.lists(LETTERS, max_size=60).map("".join)


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(key) for key in value) and all(map(plain, value.values()))
    if isinstance(value, list):
        return all(map(plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return value.encode().decode() == value
    return value is None or isinstance(value, (bool, int))


@settings(deadline=None, max_examples=500)
@given(TEXTS, st.sampled_from(["", "{", "a: ", "---\n"]))
@example("'\ud800'", "")
@example('"a": "\\ud800"}', "{")
def test_any_text_is_plain_values_or_unreadable(text: str, start: str) -> None:
    """Any text is read as plain values, which JSON and UTF-8 can carry, or refused; nothing else leaves the parser."""
    with contextlib.suppress(Unreadable):
        assert plain(parse(start + text))


WORDS = st.text(st.sampled_from("abc 012.:-_{}[],#&*!|>'\"%@?~\\/éß漢😀\n\t"), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["yes", "012", "null", "1e3", "~", "<<"])
    | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(JSON)
def test_json_is_read_back(value: Any) -> None:
    """What JSON says is what is read, whether it is parsed as JSON or as the YAML it also is."""
    text = json.dumps({"a": value}, ensure_ascii=False)

    assert parse(text) == {"a": value}
    assert parse(f"---\n{text}") == {"a": value}
