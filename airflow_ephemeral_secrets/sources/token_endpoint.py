"""The token endpoint (RFC 6749 section 3.2), asked once for a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError
from airflow_ephemeral_secrets.sources.base import Minting, user_agent
from airflow_ephemeral_secrets.sources.certificate import Certificate
from airflow_ephemeral_secrets.sources.exchange import Answer, exchange
from airflow_ephemeral_secrets.sources.token_answer import OAUTH, Asked, Codes, token


def send(method: str, url: str, what: str, minting: Minting, **more: Any) -> Answer:
    """
    Send a request to an authorization server.

    :param what: the request, for messages
    :param more: of :func:`exchange`
    :raises SourceFailed: when there is no answer in time
    """
    try:
        return exchange(method, url, network=minting.network, deadline=minting.deadline, **more)
    except MintError as error:
        failure = type(error)(f"{what}: {error.message}", code=error.code, hint=error.hint)
    raise failure


def post(
    url: str,
    form: Sequence[tuple[str, str]],
    what: str,
    minting: Minting,
    *,
    headers: Mapping[str, str] = {},
    certificate: Certificate | None = None,
) -> Answer:
    """
    Send a token request.

    :param form: the fields of the request, sent in its body
    :param what: the request, for messages
    :param headers: further headers, such as the client's authentication
    :param certificate: what the client presents
    :raises SourceFailed: when there is no answer in time
    """
    return send(
        "POST",
        url,
        what,
        minting,
        headers={
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": user_agent(minting.stamp),
            **headers,
        },
        body=urlencode(form).encode(),
        certificate=certificate,
    )


def request_token(
    url: str,
    form: Mapping[str, str],
    asked: Asked,
    minting: Minting,
    *,
    headers: Mapping[str, str] = {},
    certificate: Certificate | None = None,
    principal: str = "",
    codes: Codes = OAUTH,
    sent: Iterable[str] = (),
) -> BearerToken:
    """
    Ask a token endpoint for a token.

    :param form: as for :func:`post`, and so are headers and certificate
    :param principal: who the token acts as, where it does not say
    :param codes: the provider's own error codes
    :param sent: secrets in the request
    :raises SourceRefused: when the provider says no, or grants less than was asked for
    :raises SourceFailed: when it does not answer in time, or not with sense
    """
    answer = post(url, list(form.items()), asked.what, minting, headers=headers, certificate=certificate)
    return token(answer, asked, principal=principal, codes=codes, sent=sent)
