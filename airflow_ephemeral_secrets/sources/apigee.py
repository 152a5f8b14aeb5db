"""Bearer tokens of Apigee's OAuthV2 policy, which answers almost as RFC 6749 says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode

from airflow_ephemeral_secrets.caller import Attribution
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Source
from airflow_ephemeral_secrets.sources.client_auth import basic
from airflow_ephemeral_secrets.sources.oauth2_fields import ClientId, Scope
from airflow_ephemeral_secrets.sources.token_answer import OAUTH, Asked
from airflow_ephemeral_secrets.sources.token_endpoint import request_token

_CLIENT = "client_id and client_secret: the key and secret of an app that exists, approved and not expired or revoked"
_APPROVED = "approving the developer, the app, its key and the API product for that key"
_GRANT = (
    "grant_type_in: query or body, as the proxy's OAuthV2 policy reads it, and whether it allows client_credentials"
)
_FAULTS = {
    "InvalidClientIdentifier": _CLIENT,
    "InvalidApiKey": _CLIENT,
    "invalid_client": _CLIENT,
    "invalid_client-invalid_client_id": _CLIENT,
    "FailedToResolveClientId": _CLIENT,
    "ApiKeyNotApproved": _APPROVED,
    "invalid_client-app_not_approved": _APPROVED,
    "invalid_client-client_id_not_approved": _APPROVED,
    "DeveloperStatusNotActive": _APPROVED,
    "CompanyStatusNotActive": _APPROVED,
    "InvalidAPICallAsNoApiProductMatchFound": "an API product that holds this proxy, environment and path, for the app",
    "UnSupportedGrantType": _GRANT,
    "MissingParameter": _GRANT,
    "InvalidParameter": _GRANT,
    "InvalidScope": "scopes of the API products that the app has",
    "invalid_scope": "scopes of the API products that the app has",
}
"""What to try, by the name of a fault."""

_PROOF = ("InvalidClientIdentifier", "InvalidApiKey", "invalid_client", "invalid_client-invalid_client_id")
_PLACES = ("oauth.v2", "steps.oauth.v2", "keymanagement.service", "steps.keymanagement.service")
_LIMITS = ("SpikeArrestViolation", "QuotaViolation")


def _everywhere(names: Mapping[str, str]) -> dict[str, str]:
    return {f"{place}.{name}": hint for place in _PLACES for name, hint in names.items()}


FAULTS = _everywhere(_FAULTS)
"""Faults that no second try mends; Apigee gives some of them the status 500."""

CODES = OAUTH.with_(
    {
        **FAULTS,
        "invalid_client": f"{_CLIENT}; {_APPROVED}",
        "invalid_request": f"{_GRANT}; client_id",
        **{f"policies.ratelimit.{name}": "fewer mints: the proxy limits its token requests" for name in _LIMITS},
    },
    transient={f"policies.ratelimit.{name}" for name in _LIMITS},
    proof=_everywhere(dict.fromkeys(_PROOF, "")),
)


class Apigee(Source, frozen=True, kw_only=True, tag="apigee"):
    """
    Ask an Apigee proxy whose OAuthV2 policy generates access tokens, by client credentials.

    :param token_url: the proxy's token endpoint
    :param client_id: the key of an app
    :param client_secret: the secret of that key
    :param scopes: what must be granted; by default all scopes of the app's API products are
    :param grant_type_in: where the policy reads ``grant_type``, and ``scope`` if there is one
    :param ttl: has no effect: the policy's ``ExpiresIn`` decides
    """

    templates = ("scopes",)

    attribution: Attribution = "none"
    token_url: Endpoint
    client_id: ClientId
    client_secret: SecretName
    scopes: list[Scope] = []
    grant_type_in: Literal["body", "query"] = "body"

    def yields(self) -> type[Credential]:
        return BearerToken

    def endpoints(self) -> list[str]:
        return [self.token_url]

    def problems(self) -> list[str]:
        return ["client_id: holds a colon, which Basic cannot carry"] if ":" in self.client_id else []

    def mint(self, minting: Minting) -> Credential:
        secret, scopes = minting.secret(self.client_secret), minting.facts["scopes"]
        form = {"grant_type": "client_credentials", **({"scope": " ".join(scopes)} if scopes else {})}
        header = basic(self.client_id, secret, raw=True)
        in_query = self.grant_type_in == "query"
        asked = Asked(what=f"a token for {self.client_id} from {self.token_url}", at=minting.asked, scopes=scopes)
        failure: MintError
        try:
            return request_token(
                f"{self.token_url}?{urlencode(form)}" if in_query else self.token_url,
                {} if in_query else form,
                asked,
                minting,
                headers={"Authorization": header},
                principal=self.client_id,
                codes=CODES,
                sent=(secret, header),
            )
        except SourceFailed as error:
            failure = _final(error) if error.code in FAULTS else error
        raise failure


def _final(error: SourceFailed) -> SourceRefused:
    """Tell a refusal that came with the status of a failure."""
    return SourceRefused(
        error.message,
        code=error.code,
        hint=error.hint,
        request_id=error.request_id,
        proof_rejected=error.code in CODES.proof,
    )
