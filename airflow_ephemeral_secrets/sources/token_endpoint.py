"""The token endpoint (RFC 6749 section 3.2), asked once for a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.sources.base import Minting
from airflow_ephemeral_secrets.sources.certificate import Certificate
from airflow_ephemeral_secrets.sources.exchange import exchange
from airflow_ephemeral_secrets.sources.token_answer import OAUTH, Asked, Codes, refusal, token

USER_AGENT = "airflow-ephemeral-secrets"


def request_token(
    url: str,
    form: Mapping[str, str],
    asked: Asked,
    minting: Minting,
    *,
    headers: Mapping[str, str] | None = None,
    certificate: Certificate | None = None,
    principal: str = "",
    codes: Codes = OAUTH,
    sent: Iterable[str] = (),
) -> BearerToken:
    """
    Ask a token endpoint for a token.

    :param form: the fields of the request, sent in its body
    :param headers: further headers, such as the client's authentication
    :param certificate: what the client presents
    :param principal: who the token acts as, where it does not say
    :param codes: the provider's own error codes
    :param sent: secrets in the request
    :raises SourceRefused: when the provider says no, or grants less than was asked for
    :raises SourceFailed: when it does not answer in time, or not with sense
    """
    answer = exchange(
        "POST",
        url,
        headers={
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": USER_AGENT,
            **(headers or {}),
        },
        body=urlencode(form).encode(),
        network=minting.network,
        deadline=minting.deadline,
        certificate=certificate,
    )
    if answer.status not in (200, 201):
        raise refusal(answer, asked.what, codes, sent=sent)
    return token(answer, asked, principal=principal)
