"""Every form of a secret is registered, once."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets import masking

TOKEN = "a/b+c=d"


def test_forms_are_what_people_print() -> None:
    """A secret is masked raw, quoted as in a URI and quoted as ``quote`` does by default."""
    assert masking.forms([TOKEN]) == (TOKEN, "a%2Fb%2Bc%3Dd", "a/b%2Bc%3Dd")


def test_forms_are_few() -> None:
    """A secret that quoting does not change is one pattern, since each makes Airflow's masker slower."""
    assert masking.forms(["plain-token"]) == ("plain-token",)


def test_basic_form() -> None:
    """A login and a password are masked as a Basic header too."""
    assert base64.b64encode(b"me:pass").decode() in masking.forms(["pass"], login="me", password="pass")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_writing_is_covered(secret: str) -> None:
    """Whatever the secret, it is covered raw, as JSON writes it, and as URLs quote both."""
    escaped = json.dumps(secret)[1:-1]
    written = {quoting(text) for text in (secret, escaped) for quoting in (str, quote, quote_plus, whole)}
    assert written <= set(masking.forms([secret]))


def whole(text: str) -> str:
    return quote(text, safe="")


def test_adapter_gives_other_forms_only() -> None:
    """Airflow's ``secret_mask_adapter`` gets the further forms; the raw one it masks itself."""
    assert masking.adapt(TOKEN) == ["a%2Fb%2Bc%3Dd", "a/b%2Bc%3Dd"]
    assert masking.adapt("plain-token") == []


def test_same_forms_are_registered_once() -> None:
    """Registering costs a message and a recompilation, so a warm lookup registers nothing."""
    calls: list[list[str]] = []
    masker = masking.Masker(calls.append)
    for _ in range(3):
        masker.mask(("one", "two"))
    masker.mask(("one", "three"))
    assert calls == [["one", "two"], ["one", "three"]]


def test_failed_registration_is_tried_again() -> None:
    """Forms count as registered only when registering them worked."""
    calls: list[list[str]] = []

    def register(forms: list[str]) -> None:
        calls.append(forms)
        if len(calls) == 1:
            raise OSError

    masker = masking.Masker(register)
    try:
        masker.mask(("one",))
    except OSError:
        masker.mask(("one",))
    assert calls == [["one"], ["one"]]


def test_forgetting_is_bounded() -> None:
    """A masker in a process that lives long remembers a bounded number of sets."""
    masker = masking.Masker(lambda _: None)
    for number in range(masking.REMEMBERED + 10):
        masker.mask((f"secret {number}",))
    assert masker.unknown(("secret 0",)) == ["secret 0"]
    assert len(masker._known) == masking.REMEMBERED
