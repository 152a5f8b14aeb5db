"""Credentials that live for seconds, and gateways that reject those that are dead."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import NamedTuple

from airflow_ephemeral_secrets.credential import AwsCredential
from tests.live.gateways import Answer, Seen, Signatures
from tests.peers.clocks import LEEWAY
from tests.peers.sts import granted

Judge = Callable[[Seen], Answer | None]

ASYNCHRONOUS = re.compile("aiohttp|aiobotocore")
"""How clients of an event loop call themselves."""


class Issuer:
    """
    Issue tokens at an OAuth token endpoint, and keys as AWS STS does, that die after some seconds.

    :param life: seconds, a whole number
    """

    def __init__(self, life: int) -> None:
        self.life = life
        self.keys: dict[str, AwsCredential] = {}
        self._ends: dict[str, float] = {}
        self._numbers = count(1)
        self._mutex = threading.Lock()

    def tokens(self, _: Seen) -> Answer:
        """Answer as a token endpoint."""
        token = self._issue("token-of-seconds")
        said = {"access_token": token, "token_type": "Bearer", "expires_in": self.life}
        return 200, {"Content-Type": "application/json"}, json.dumps(said).encode()

    def sts(self, _: Seen) -> Answer:
        """Answer as STS."""
        key_id, end = self._issue("ASIASECONDS"), datetime.now(timezone.utc) + timedelta(seconds=self.life)
        key = AwsCredential(
            access_key_id=key_id, secret_access_key=f"secret/of+{key_id}", session_token=f"of+{key_id}="
        )
        self.keys[key_id] = key
        body = granted(
            AccessKeyId=key_id,
            SecretAccessKey=key.secret_access_key,
            SessionToken=key.session_token,
            Expiration=end.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )
        return 200, {"Content-Type": "text/xml"}, body

    def revoke(self, name: str) -> None:
        self._ends[name] = 0.0

    def __contains__(self, name: object) -> bool:
        """Say whether a token, or the keys of an id, live."""
        return time.monotonic() < self._ends.get(str(name), 0.0)

    def _issue(self, kind: str) -> str:
        with self._mutex:
            name = f"{kind}{next(self._numbers):04}"
        self._ends[name] = time.monotonic() + self.life + LEEWAY
        return name


class Visit(NamedTuple):
    """A request to a place: when, with what, and whether that was dead."""

    moment: float
    credential: str
    rejected: bool


class Places:
    """
    Judge requests to ``DAG/ROW/task`` and ``DAG/ROW/trigger`` by the credential that each bears.

    The API may stand before that path. In the middle one credential is revoked for each Dag and row: that of the first
    request after one life and a half. A place of triggers is not found (404) by whoever waits in the triggerer until it
    has waited for long enough.

    :param seconds: how long that is
    """

    def __init__(self, issuer: Issuer, seconds: float) -> None:
        self.visits: dict[str, list[Visit]] = {}
        self._issuer = issuer
        self._seconds = seconds
        self._revoked: set[str] = set()
        self._mutex = threading.Lock()

    def bearer(self) -> Judge:
        """Judge by tokens."""
        dead = {"WWW-Authenticate": 'Bearer error="invalid_token", error_description="expired or revoked"'}

        def token(seen: Seen) -> str:
            return seen.headers.get("authorization", "").removeprefix("Bearer ")

        return self._judge(token, lambda seen: None if token(seen) in self._issuer else (401, dead, b"{}"))

    def signed(self, scope: str, *, revoke: bool = True) -> Judge:
        """
        Judge by signatures.

        :param scope: ``region/service``
        :param revoke: whether one is revoked in the middle
        """
        signatures = Signatures(self._issuer.keys, scope)
        key_id = re.compile("Credential=([A-Z0-9]+)/")

        def check(seen: Seen) -> Answer | None:
            signatures.expired = {name for name in self._issuer.keys if name not in self._issuer}
            return signatures(seen)

        def key(seen: Seen) -> str:
            return "".join(key_id.findall(seen.headers.get("authorization", "")))

        return self._judge(key, check, revoke=revoke)

    def _judge(self, credential_of: Callable[[Seen], str], check: Judge, *, revoke: bool = True) -> Judge:
        def judge(seen: Seen) -> Answer | None:
            place, credential, now = "/".join(seen.target.split("/")[-3:]), credential_of(seen), time.monotonic()
            if place.endswith("/trigger") and not ASYNCHRONOUS.search(seen.headers.get("user-agent", "")):
                return 404, {}, b""  # the operator looks once before it defers
            with self._mutex:
                visits = self.visits.setdefault(place, [])
                began = visits[0].moment if visits else now
                whose = place.rpartition("/")[0]
                if revoke and now - began > 1.5 * self._issuer.life and whose not in self._revoked:
                    self._revoked.add(whose)
                    self._issuer.revoke(credential)
                refusal = check(seen)
                visits.append(Visit(now, credential, refusal is not None))
            if refusal or place.endswith("/task") or now - began > self._seconds:
                return refusal
            return 404, {}, b""

        return judge
