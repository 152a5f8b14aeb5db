"""Every form in which a secret may show up in a log, registered once per process with a few patterns."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable
from string import ascii_letters, digits
from typing import NamedTuple
from urllib.parse import quote

from airflow_ephemeral_secrets.clock import SYSTEM_CLOCK, Clock

REMEMBERED = 1_000
GRACE = 60.0
LONG, END = 128, 32
UNRESERVED = f"{ascii_letters}{digits}_.-~"
"""What a URL may hold as it is (RFC 3986)."""


def basic(login: str, password: str) -> str:
    """Make the value of a Basic header without its prefix (RFC 7617)."""
    return base64.b64encode(f"{login}:{password}".encode()).decode()


def forms(secrets: Iterable[str], *, login: str | None = None, password: str | None = None) -> tuple[str, ...]:
    """
    List what must never stand in a log.

    :param secrets: raw secret strings
    :param login: the login that goes with ``password``, for its Basic form
    :return: each secret raw and, where they differ, as JSON and URLs write it: few for an ordinary token
    """
    found: dict[str, None] = {}
    for secret in dict.fromkeys(secrets):
        for text in dict.fromkeys((secret, json.dumps(secret)[1:-1])):
            found[text] = None
            if (whole := _quote(text)) != text:
                # SQLAlchemy's URLs leave spaces and pluses as they are
                in_urls = whole.replace("%20", " ").replace("%2B", "+")
                found.update(dict.fromkeys((whole, whole.replace("%2F", "/"), whole.replace("%20", "+"), in_urls)))
    if login and password:
        found[basic(login, password)] = None
    return tuple(found)


def _quote(text: str) -> str:
    """Quote as ``urllib.parse.quote`` does with nothing safe, which takes its time for every character of a secret."""
    if not text.rstrip(UNRESERVED):
        return text
    if not text.isascii():
        return quote(text, safe="", errors="replace")
    quoted = text.replace("%", "%25")
    for char in set(text) - {*UNRESERVED, "%"}:
        quoted = quoted.replace(char, f"%{ord(char):02X}")
    return quoted


def adapt(secret: str) -> list[str]:
    """
    Give Airflow's masker the URL-quoted forms of any secret.

    For ``[logging] secret_mask_adapter = airflow_ephemeral_secrets.masking.adapt``: it extends to Airflow's own
    secrets what this package does for those it mints.
    """
    return [form for form in forms([secret]) if form != secret]


def compact(form: str) -> str:
    """
    Write a regular expression for a secret that costs little to compile.

    A long one is its head, its tail and so many characters between them: compiling 1,200 literal characters takes
    3 ms, and Airflow's masker is one expression of all secrets, compiled anew for each.
    """
    if len(form) < LONG or "\n" in form:
        return re.escape(form)
    return f"{re.escape(form[:END])}.{{{len(form) - 2 * END}}}{re.escape(form[-END:])}"


class Masks(NamedTuple):
    """
    What to keep out of logs for one credential.

    :param forms: every form of its secrets
    :param also: what Airflow's own masking will add for the Connection that holds it
    :param until: when it dies, by the boot clock
    """

    forms: tuple[str, ...]
    also: tuple[str, ...] = ()
    until: float = float("inf")

    def __repr__(self) -> str:
        return f"Masks({len(self.forms)} forms)"


class Masker:
    """
    Register forms with Airflow's masker, each set once, and drop those of dead credentials.

    Every new pattern makes Airflow recompile its whole expression and send a message to the supervisor, so a set that
    was registered before is not registered again. A process that lives long would collect the patterns of every token
    it ever had, so with each new set the dead ones go.

    :param register: hands new masks to Airflow's masker
    :param forget: takes strings out of Airflow's masker of this process
    :param clock: its boot clock says what is dead
    """

    def __init__(
        self,
        register: Callable[[Masks], None],
        forget: Callable[[list[str]], None] = lambda _: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._register = register
        self._forget = forget
        self._clock = clock
        self._mutex = threading.Lock()
        self._known: dict[tuple[str, ...], Masks] = {}

    def known(self, secret_forms: tuple[str, ...], until: float) -> bool:
        """Say whether this very set is registered in this process, and for so long, by the boot clock."""
        known = self._known.get(secret_forms)
        return known is not None and known.until >= until

    def remember(self, masks: Masks) -> None:
        """Note that a set is registered, and drop those whose credentials are dead, or too many."""
        with self._mutex:
            now = self._clock.now().boot
            dead = [forms for forms, known in self._known.items() if known.until + GRACE < now]
            room = max(0, len(self._known) - len(dead) - REMEMBERED + 1)
            dead += [forms for forms in list(self._known)[: room + len(dead)] if forms not in dead][:room]
            gone = [text for forms in dead for text in (*forms, *self._known.pop(forms).also)]
            self._known[masks.forms] = masks
            kept = {text for known in self._known.values() for text in (*known.forms, *known.also)}
        if gone := [text for text in gone if text not in kept]:
            self._forget(gone)

    def mask(self, masks: Masks, register: Callable[[Masks], None] | None = None) -> None:
        """
        Register a set, unless it is.

        :param register: another way to Airflow's masker, for a thread that may not take the usual one
        """
        if not self.known(masks.forms, masks.until):
            (register or self._register)(masks)
            self.remember(masks)
