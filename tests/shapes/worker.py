"""A worker: a process with a real Airflow that asks our backend, and the stock hooks of the released providers."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jwt
import trustme

from airflow_ephemeral_secrets.demo.environment import allowed
from tests.peers.clocks import LEEWAY
from tests.peers.installed import ROOT
from tests.peers.rogue import Request, response

PATIENCE = 100
KEY = "the key of the issuer of these tests"
YEAR_2000, YEAR_2100 = 946_684_800, 4_102_444_800
SECRETS = {
    "PASSWORD": "right-p@ss/word+1",
    "WRONG": "wrong-p@ss/word+2",
    "TOKEN": jwt.encode({"iss": "https://issuer.test", "sub": "airflow", "exp": YEAR_2100}, KEY),
    "EXPIRED": jwt.encode({"iss": "https://issuer.test", "sub": "airflow", "exp": YEAR_2000}, KEY),
}
"""What the sources hand out, by the variable it is read from."""

SOURCES = {
    "password": {"kind": "static", "username": "airflow", "password": {"secret": "PASSWORD"}},
    "wrong": {"kind": "static", "username": "airflow", "password": {"secret": "WRONG"}},
    "token": {"kind": "static", "token": {"secret": "TOKEN"}},
    "expired": {"kind": "static", "token": {"secret": "EXPIRED"}},
}


@dataclass(frozen=True)
class Seen:
    """What a worker printed, and all that it wrote with every logger at its most talkative."""

    printed: Mapping[str, Any]
    log: str
    secrets: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> Any:
        return self.printed[name]

    def leaks(self) -> list[str]:
        """Name the secrets that can be read in the log, in rows of triggers, in their events or in errors."""
        text = self.log + json.dumps(self.printed)
        return [name for name, secret in self.secrets if secret in text]


def work(
    tasks: str,
    connections: Mapping[str, Any],
    *,
    home: Path,
    given: Mapping[str, str | tuple[str, str]] | None = None,
    sources: Mapping[str, Any] | None = None,
    **environment: str,
) -> Seen:
    """
    Run a module of ``tests/shapes/tasks`` on a worker.

    :param connections: the recipes; their sources are those of ``SOURCES``
    :param home: an empty folder
    :param given: further sources by name: a token, or a login and password
    :param sources: further sources
    :param environment: further variables of the worker
    """
    given = given or {}
    held = {name: what if isinstance(what, str) else what[1] for name, what in given.items()}
    secrets = {**SECRETS, **{f"GIVEN_{name.upper()}": secret for name, secret in held.items()}}
    config = {
        "version": 1,
        "secrets": {name: {"from": "env", "name": name} for name in secrets},
        "sources": {
            **SOURCES,
            **(sources or {}),
            **{name: _static(f"GIVEN_{name.upper()}", what) for name, what in given.items()},
        },
        "connections": connections,
        "store": {"host": "off"},
    }
    done = subprocess.run(
        [sys.executable, "-m", f"tests.shapes.tasks.{tasks}"],
        env={
            **allowed(),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config": config}),
            "HOME": str(home),
            "NO_PROXY": "*",
            "PYTHONPATH": str(ROOT),
            **secrets,
            **environment,
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    return Seen(json.loads(last), "\n".join([*printed, done.stderr]), tuple(secrets.items()))


def _static(reference: str, what: str | tuple[str, str]) -> dict[str, Any]:
    """Hand out what lies under a reference."""
    if isinstance(what, str):
        return {"kind": "static", "token": {"secret": reference}}
    return {"kind": "static", "username": what[0], "password": {"secret": reference}}


def readable(texts: list[str]) -> list[str]:
    """List the texts from which a secret can be read, quoted as in URLs or not."""
    return [text for text in texts if any(secret in unquote(text) for secret in SECRETS.values())]


def proven(request: Request) -> str | None:
    """Say by what a request proves itself: its scheme, if the credential that follows is a right one."""
    scheme, _, proof = str(request.headers["Authorization"]).partition(" ")
    login = f"airflow:{SECRETS['PASSWORD']}"
    right = b64decode(proof).decode() == login if scheme == "Basic" else verified(proof)
    return scheme if right else None


def verified(token: str) -> bool:
    """Verify a JWT: its signature and that it lives."""
    try:
        jwt.decode(token, KEY, algorithms=["HS256"], leeway=LEEWAY)
    except jwt.InvalidTokenError:
        return False
    return True


def answer(value: Any, status: int = 200, **headers: str) -> bytes:
    """Write a response of JSON."""
    return response(json.dumps(value).encode(), status=status, Content_Type="application/json", **headers)


class Trust:
    """
    Authorities of which one is trusted.

    :param folder: gets their certificates
    """

    def __init__(self, folder: Path) -> None:
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        self.ca_file, self.strange_file = str(folder / "ca.pem"), str(folder / "stranger.pem")
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.stranger.cert_pem.write_to_path(self.strange_file)
