"""
OpenBao, whose ``jwt`` login verifies the tokens that we obtain.

.. code-block:: python

    with OpenBao() as openbao:  # or the fixture ``openbao``, which serves the whole session
        verifier = openbao.verifier(issuer=oidc.https, audience="https://api.example.com", jwks_url=f"{oidc.http}/jwks")
        assert verifier.verify(token)["sub"] == "airflow"
        with pytest.raises(Refused): verifier.verify(token_for_somebody_else)
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any

from msgspec import convert

from tests.peers.client import ask
from tests.peers.installed import bao
from tests.peers.process import Process

ROOT = "root-of-the-tests"
ROLE = "role"
CLAIMS = ("sub", "iss", "scope", "client_id", "azp", "email")
STRICT = -1


class Refused(Exception):
    """OpenBao did not accept a token; it says why."""


@dataclass(frozen=True)
class Verifier:
    """What one login accepts."""

    login: str

    def verify(self, token: str) -> dict[str, str]:
        """
        Log in by a JWT: its signature, issuer, audience and times are verified.

        :return: those of its claims that are in ``CLAIMS``
        :raises Refused: with the reasons that OpenBao gives
        """
        answer = ask("POST", self.login, json={"role": ROLE, "jwt": token})
        if answer.status != 200:
            raise Refused(*answer.json()["errors"])
        return convert(answer.json()["auth"]["metadata"], dict[str, str])


class OpenBao:
    """Serve while the block lasts."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._mounts = count()

    def __enter__(self) -> OpenBao:
        address = f"127.0.0.1:{_free_port()}"
        options = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}", f"-dev-listen-address={address}"]
        self.process = self._stack.enter_context(Process([bao(), "server", *options], ready="OpenBao server started!"))
        self.url = f"http://{address}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def verifier(
        self, *, issuer: str, audience: str, jwks_url: str | None = None, public_key: str | None = None
    ) -> Verifier:
        """
        Accept the tokens of an issuer for an audience, with no tolerance of clocks.

        :param jwks_url: http, where the issuer publishes its keys; or
        :param public_key: its key as PEM
        """
        mount = f"jwt-{next(self._mounts)}"
        keys = {"jwks_url": jwks_url} if jwks_url else {"jwt_validation_pubkeys": [public_key]}
        self._write(f"sys/auth/{mount}", {"type": "jwt"})
        self._write(f"auth/{mount}/config", {"bound_issuer": issuer, "jwt_supported_algs": ["RS256", "ES256"], **keys})
        self._write(
            f"auth/{mount}/role/{ROLE}",
            {
                "role_type": "jwt",
                "user_claim": "sub",
                "bound_audiences": [audience],
                "claim_mappings": {claim: claim for claim in CLAIMS},
                "clock_skew_leeway": STRICT,
                "expiration_leeway": STRICT,
                "not_before_leeway": STRICT,
            },
        )
        return Verifier(f"{self.url}/v1/auth/{mount}/login")

    def _write(self, path: str, value: Mapping[str, Any]) -> None:
        answer = ask("POST", f"{self.url}/v1/{path}", json=value, headers={"X-Vault-Token": ROOT})
        assert answer.status in {200, 204}, answer.data


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
