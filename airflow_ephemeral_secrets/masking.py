"""Every form in which a secret may show up in a log, registered once per process with a few patterns."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from urllib.parse import quote

from cachetools import LRUCache

REMEMBERED = 1_000


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
    for secret in secrets:
        for text in dict.fromkeys((secret, json.dumps(secret)[1:-1])):
            whole = quote(text, safe="", errors="replace")
            found.update(dict.fromkeys((text, whole, whole.replace("%2F", "/"), whole.replace("%20", "+"))))
    if login and password:
        found[basic(login, password)] = None
    return tuple(found)


def adapt(secret: str) -> list[str]:
    """
    Give Airflow's masker the URL-quoted forms of any secret.

    For ``[logging] secret_mask_adapter = airflow_ephemeral_secrets.masking.adapt``: it extends to Airflow's own
    secrets what this package does for those it mints.
    """
    return [form for form in forms([secret]) if form != secret]


class Masker:
    """
    Register forms with Airflow's masker, each set once.

    Every new pattern makes Airflow recompile its whole expression and send a message to the supervisor, so a set that
    was registered before is not registered again.

    :param register: hands a list of strings to Airflow's masker
    """

    def __init__(self, register: Callable[[list[str]], None]) -> None:
        self._register = register
        self._known: LRUCache[bytes, None] = LRUCache(REMEMBERED)

    def unknown(self, secret_forms: tuple[str, ...]) -> list[str]:
        """List the forms to register: all of them, or none if this very set was registered in this process."""
        return [] if self._digest(secret_forms) in self._known else list(secret_forms)

    def remember(self, secret_forms: tuple[str, ...]) -> None:
        """Note that these forms are registered."""
        self._known[self._digest(secret_forms)] = None

    def mask(self, secret_forms: tuple[str, ...]) -> None:
        """Register these forms, unless they are."""
        if new := self.unknown(secret_forms):
            self._register(new)
            self.remember(secret_forms)

    @staticmethod
    def _digest(secret_forms: tuple[str, ...]) -> bytes:
        return sha256("\0".join(secret_forms).encode()).digest()
