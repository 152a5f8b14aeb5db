"""Every form of a secret is registered, once."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ephemeral_secrets import masking
from airflow_ephemeral_secrets.masking import Masker, Masks
from airflow_ephemeral_secrets.testing import FakeClock

TOKEN = "a/b+c=d"


def test_forms_are_what_people_print() -> None:
    """A secret is masked raw, quoted as in a URI, as ``quote`` does by default, and as SQLAlchemy does."""
    assert masking.forms([TOKEN]) == (TOKEN, "a%2Fb%2Bc%3Dd", "a/b%2Bc%3Dd", "a%2Fb+c%3Dd")


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
    written = {quoting(text) for text in (secret, escaped) for quoting in (str, quote, quote_plus, whole, in_urls)}
    assert written <= set(masking.forms([secret]))


def whole(text: str) -> str:
    return quote(text, safe="")


def in_urls(text: str) -> str:
    """Quote as SQLAlchemy does."""
    return quote(text, safe=" +")


def test_adapter_gives_other_forms_only() -> None:
    """Airflow's ``secret_mask_adapter`` gets the further forms; the raw one it masks itself."""
    assert masking.adapt(TOKEN) == ["a%2Fb%2Bc%3Dd", "a/b%2Bc%3Dd", "a%2Fb+c%3Dd"]
    assert masking.adapt("plain-token") == []


def test_same_forms_are_registered_once() -> None:
    """Registering costs a message and a recompilation, so a warm lookup registers nothing."""
    calls: list[Masks] = []
    masker = Masker(calls.append)
    for _ in range(3):
        masker.mask(Masks(("one", "two")))
    masker.mask(Masks(("one", "three")))
    assert calls == [Masks(("one", "two")), Masks(("one", "three"))]


def test_failed_registration_is_tried_again() -> None:
    """Forms count as registered only when registering them worked."""
    calls: list[Masks] = []

    def register(masks: Masks) -> None:
        calls.append(masks)
        if len(calls) == 1:
            raise OSError("no link")

    masker = Masker(register)
    with pytest.raises(OSError, match="no link"):
        masker.mask(Masks(("one",)))
    masker.mask(Masks(("one",)))
    assert len(calls) == 2


def test_masks_of_dead_tokens_go() -> None:
    """With each new set, those of credentials dead for a minute are dropped, but for what a living one shares."""
    gone: list[str] = []
    clock = FakeClock(boot=0.0)
    masker = Masker(lambda _: None, gone.extend, clock)
    masker.mask(Masks(("a", "shared"), ("extra of a",), until=100.0))
    masker.mask(Masks(("b", "shared"), until=500.0))
    clock.advance(100.0 + masking.GRACE)
    masker.mask(Masks(("c",), until=900.0))
    assert gone == []
    clock.advance(1.0)
    masker.mask(Masks(("d",), until=900.0))
    assert gone == ["a", "extra of a"]
    assert not masker.known(("a", "shared"), 100.0)
    assert masker.known(("b", "shared"), 500.0)


def test_mask_of_a_secret_that_lives_on_stays() -> None:
    """The same secret in a newer lease is masked for as long as that lives, not as its first one did."""
    gone: list[str] = []
    clock = FakeClock(boot=0.0)
    masker = Masker(lambda _: None, gone.extend, clock)
    masker.mask(Masks(("lasting",), until=100.0))
    clock.advance(90.0)
    masker.mask(Masks(("lasting",), until=400.0))
    clock.advance(100.0)
    masker.mask(Masks(("another",), until=900.0))
    assert gone == []
    assert masker.known(("lasting",), 400.0)
    assert not masker.known(("lasting",), 401.0)


def test_too_many_masks_go() -> None:
    """A masker remembers a bounded number of sets, the oldest leaving first."""
    gone: list[str] = []
    masker = Masker(lambda _: None, gone.extend)
    for number in range(masking.REMEMBERED + 3):
        masker.mask(Masks((f"secret {number}",)))
    assert gone == ["secret 0", "secret 1", "secret 2"]


@pytest.mark.parametrize("length", [1, 127, 128, 129, 1_200])
def test_compact_matches_the_secret_and_no_other(length: int) -> None:
    """However a pattern is written, it matches the whole secret and only that."""
    secret = ("a/b+c.d=" * 200)[:length]
    pattern = re.compile(masking.compact(secret))
    assert pattern.sub("***", f"<{secret}>") == "<***>"
    assert not pattern.search(secret[:-1] + "!")
    assert not pattern.search("!" + secret[1:])


def test_masks_show_nothing() -> None:
    """Printing a set of masks shows none of them."""
    assert repr(Masks(("hunter2",))) == "Masks(1 forms)"
