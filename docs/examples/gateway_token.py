"""A source: Bearer tokens from a gateway's token endpoint."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import SourceFailed, SourceRefused
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Source
from airflow_ephemeral_secrets.sources.exchange import exchange, host


class Granted(Struct):
    """What we believe of the answer: a printable token that lives at most a day."""

    access_token: Annotated[str, Meta(pattern="^[!-~]+$", max_length=16_384)]
    expires_in: Annotated[int, Meta(gt=0, le=86_400)]


class GatewayToken(Source, frozen=True, kw_only=True, tag="gateway_token"):
    """
    Ask a gateway for a token in the name of a client.

    :param token_url: the gateway's token endpoint
    :param client_id: the client
    :param client_secret: proves the client
    """

    token_url: Endpoint
    client_id: str
    client_secret: SecretName

    def yields(self) -> type[Credential]:
        return BearerToken

    def endpoints(self) -> list[str]:
        return [self.token_url]

    def mint(self, minting: Minting) -> Credential:
        form = {"client_id": self.client_id, "client_secret": minting.secret(self.client_secret)}
        answer = exchange(
            "POST",
            self.token_url,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            network=minting.network,
            deadline=minting.deadline,
        )
        where = host(self.token_url)
        if answer.status in (400, 401, 403):
            raise SourceRefused(f"{where}: it answered {answer.status}", hint="client_id and client_secret")
        if answer.status != 200:
            raise SourceFailed(f"{where}: it answered {answer.status}")
        try:
            granted = msgspec.json.decode(answer.body, type=Granted)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SourceFailed(f"{where}: its answer is not a token with a lifetime", code="bad_answer") from None
        return BearerToken(
            token=granted.access_token,
            expires_at=minting.asked.wall + granted.expires_in,
            principal=self.client_id,
        )
