"""A source: Bearer tokens from a gateway's token endpoint."""

from __future__ import annotations

from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Source
from airflow_ephemeral_secrets.sources.token_answer import Asked
from airflow_ephemeral_secrets.sources.token_endpoint import request_token


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
        secret = minting.secret(self.client_secret)
        form = {"client_id": self.client_id, "client_secret": secret}
        asked = Asked(what=f"a token for {self.client_id} from {self.token_url}", at=minting.asked)
        return request_token(self.token_url, form, asked, minting, principal=self.client_id, sent=[secret])
