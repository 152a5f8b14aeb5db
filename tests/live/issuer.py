"""An issuer whose tokens live for seconds, and which says to an API of ours which of them are still good."""

from __future__ import annotations

import json
import time
from math import ceil
from urllib.parse import parse_qs

import jwt

from tests.live.gateways import Answer, Gateway, Seen
from tests.peers.clocks import LEEWAY

KEY = "the key of an issuer whose tokens live for seconds"


class Issuer:
    """
    Grant tokens, JWT of which each names its number, and judge them; a client named ``long`` gets those of an hour.

    :param lives: seconds that a token of any other client lives
    :param leeway: seconds after which a token that has expired is refused
    """

    def __init__(self, lives: int = 3, leeway: int = LEEWAY) -> None:
        self.lives = lives
        self.leeway = leeway
        self.granted: list[str] = []
        self.revoked: set[str] = set()
        self.used: dict[str, int] = {}
        self.refused: list[str] = []
        self._shorts: list[float] = []
        self._revocations = 0

    @property
    def wasted(self) -> float:
        """
        How many more tokens of seconds were asked for than clients that share them need, if positive.

        They need a new one after half a life of the last, or when it was revoked; one more is due to an issuer that
        answered late.
        """
        lasted = self._shorts[-1] - self._shorts[0]
        return len(self._shorts) - (2 + lasted / (self.lives / 2) + self._revocations)

    def __call__(self, seen: Seen) -> Answer:
        """Be a token endpoint, and at ``/revoke`` take back all tokens that were granted so far."""
        if seen.target == "/revoke":
            self.revoked.update(self.granted)
            self._revocations += 1
            return 200, {}, b"{}"
        long = parse_qs(seen.body.decode()).get("client_id") == ["long"]
        lives = 3_600 if long else self.lives
        self._shorts += [] if long else [time.monotonic()]
        claims = {"iss": "https://issuer.test", "sub": "airflow", "exp": ceil(time.time()) + lives}
        self.granted.append(jwt.encode({**claims, "jti": str(len(self.granted))}, KEY))
        body = {"access_token": self.granted[-1], "token_type": "Bearer", "expires_in": lives}
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()

    def judge(self, token: str) -> bool:
        """Say whether a token is good, and count it."""
        return self.ends(token) is not None

    def ends(self, token: str) -> float | None:
        """Say when a token that is good ends, in two seconds or later, and count it."""
        ends = self._end(token) if token in self.granted and token not in self.revoked else None
        if ends is None:
            self.refused.append(token)
        else:
            self.used[token] = self.used.get(token, 0) + 1
        return ends

    def source(self, gateway: Gateway, client_id: str = "short") -> dict[str, object]:
        """Write a source that asks it, where it is served."""
        secret = {"client_secret": {"secret": "PASSWORD"}, "client_auth": "post"}
        return {"kind": "oauth2", "token_url": f"{gateway.url}/token", "client_id": client_id, **secret}

    def _end(self, token: str) -> float | None:
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"], leeway=self.leeway)
        except jwt.InvalidTokenError:
            return None
        return max(float(claims["exp"]), time.time()) + 2
