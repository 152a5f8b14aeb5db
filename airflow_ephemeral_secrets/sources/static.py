"""Things that have no short-lived form yet: read from where they are kept, held in memory, never in a store."""

from __future__ import annotations

from airflow_ephemeral_secrets.caller import Attribution
from airflow_ephemeral_secrets.clock import Duration
from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.base import Minting, Source


class Static(Source, frozen=True, kw_only=True, tag="static"):
    """
    Hand out a long-lived secret by reference: no minting.

    :param token: a token or API key; or
    :param username: a login, with
    :param password: its password
    :param ttl: how long a process holds it before it reads the reference again
    """

    ttl: Duration = "5m"
    attribution: Attribution = "none"
    username: str | SecretName | None = None
    password: SecretName | None = None
    token: SecretName | None = None

    def yields(self) -> type[Credential]:
        return BearerToken if self.token else BasicCredential

    def problems(self) -> list[str]:
        if self.token and (self.username or self.password):
            return ["token: either a token, or a username and a password"]
        if not self.token and not (self.username and self.password):
            return ["token: required, or else a username and a password"]
        return []

    def mint(self, minting: Minting) -> Credential:
        if self.token:
            return BearerToken(token=minting.secret(self.token), principal=f"static {self.token.secret}")
        assert self.username
        assert self.password
        return BasicCredential(
            username=minting.secret(self.username) if isinstance(self.username, SecretName) else self.username,
            password=minting.secret(self.password),
            hidden=isinstance(self.username, SecretName),
            principal=f"static {self.password.secret}",
        )
