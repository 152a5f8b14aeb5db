"""Asking as a hook does, over a fake source and a fake clock, with a connection that leads to the endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import requests

from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.audit_file import AuditFile
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Clock
from airflow_ephemeral_secrets.config import Config
from airflow_ephemeral_secrets.credential import AwsCredential, Credential
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.live.routes import open_route
from airflow_ephemeral_secrets.masking import Masks
from airflow_ephemeral_secrets.policy import Policy
from airflow_ephemeral_secrets.recipe import Book
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec, Shape
from airflow_ephemeral_secrets.sources.base import Minting, Network, Source
from airflow_ephemeral_secrets.testing import FakeSource
from tests.resolving import CALLER, recipe

REGION = "eu-west-1"


class Keys(FakeSource, frozen=True, kw_only=True, tag="keys"):
    """Mint numbered AWS keys."""

    known: dict[str, AwsCredential] = msgspec.field(default_factory=dict)

    def yields(self) -> type[Credential]:
        return AwsCredential

    def mint(self, minting: Minting) -> Credential:
        token = super().mint(minting).secrets()[0]
        made = AwsCredential(
            access_key_id=f"ASIA{len(self.minted)}",
            secret_access_key=f"secret/of+{token}",
            session_token=f"session/of+{token}=",
            expires_at=minting.asked.wall + self.lives,
            principal="nobody",
        )
        self.known[made.access_key_id] = made
        return made


class Asking:
    """
    Ask as a hook does that looks its connection up for each request.

    :param audit: the file for its lines
    """

    def __init__(
        self,
        source: Source,
        shape: Shape,
        clock: Clock,
        caller: Caller = CALLER,
        *,
        audit: Path | None = None,
        network: Network | None = None,
    ) -> None:
        self.masked: list[Masks] = []
        config = Config(
            where="a test",
            connections=Book([("api", recipe(source, shape))]),
            variables=Book([]),
            secrets={},
            sources={"fake": source},
            network=network or Network(),
        )
        leases = LeaseCache(clock, Random(7), lambda: None)
        lines = Audit(clock, lambda: [AuditFile(str(audit))] if audit else [])
        policy = Policy(parse_mint=True)
        self.resolver = Resolver(config, policy, leases, lines, clock, open_route, self.masked.append)
        self._caller = caller
        self._session = requests.Session()
        self._session.trust_env = False

    def spec(self) -> ConnectionSpec:
        found = self.resolver.connection("api", self._caller)
        assert found
        return found

    def __call__(self, method: str, target: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        spec = self.spec()
        held = {name: value for name, value in json.loads(spec.extra or "{}").items() if name != "trust_env"}
        with self._session.request(
            method, f"{spec.host}{target}", headers={**held, **(headers or {})}, allow_redirects=False, **more
        ) as answer:
            assert isinstance(answer.content, bytes)
            return answer
