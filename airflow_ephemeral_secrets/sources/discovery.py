"""
The metadata of an issuer: where its token endpoint is.

Whoever writes the configuration names the issuer, and with it whom the client proves itself to. Its token endpoint may
be on another host, as RFC 8414 allows and Google's and Entra's are; it is https, and plain http only where the issuer
itself is plain http on loopback, so that no issuer elsewhere can lead a request to this host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources.base import Minting, Network, user_agent
from airflow_ephemeral_secrets.sources.token_answer import members, nonsense, refusal
from airflow_ephemeral_secrets.sources.token_endpoint import send

HELD = 3_600.0
MOST = 64

_ORIGIN = re.compile(r"(https?://[^/]+)(.*)", re.DOTALL)
_TLS = re.compile(r"https://[A-Za-z0-9.:\[\]-]+(/[!\"$-~]*)?")
_LOOPBACK = re.compile(r"http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/[!\"$-~]*)?")

_held: dict[tuple[str, str | None, str | None], tuple[float, Issuer]] = {}


class Issuer(Struct, frozen=True):
    """
    What an issuer says of itself.

    :param token_endpoint: where tokens are asked for
    :param mtls_token_endpoint: where by clients that present a certificate (RFC 8705 section 5)
    """

    token_endpoint: str
    mtls_token_endpoint: str


def discover(issuer: str, minting: Minting) -> Issuer:
    """
    Read an issuer's metadata (OpenID Connect Discovery, else RFC 8414), or remember it for an hour in this process.

    :raises SourceRefused: when it has none, or they are another issuer's
    :raises SourceFailed: when it does not answer in time, or not with sense
    """
    key, now = _key(issuer, minting.network), minting.asked.boot
    held = _held.get(key)
    if held and 0 <= now - held[0] < HELD:
        return held[1]
    found = _read(issuer, minting)
    if len(_held) >= MOST:
        _held.clear()
    _held[key] = now, found
    return found


def forget(issuer: str, network: Network) -> None:
    """Read the metadata anew next time: what they led to did not work."""
    _held.pop(_key(issuer, network), None)


def well_known(issuer: str) -> tuple[str, str]:
    """List where an issuer's metadata may be: after its path, and before it (RFC 8414 section 3.1)."""
    match = _ORIGIN.fullmatch(issuer.rstrip("/"))
    assert match
    origin, path = match.groups()
    return f"{origin}{path}/.well-known/openid-configuration", f"{origin}/.well-known/oauth-authorization-server{path}"


def _key(issuer: str, network: Network) -> tuple[str, str | None, str | None]:
    return issuer, network.ca_file, network.proxy


def _read(issuer: str, minting: Minting) -> Issuer:
    what = f"metadata of {issuer}"
    found = _metadata(issuer, what, minting)
    if found.get("issuer") != issuer:
        raise SourceRefused(
            f"{what}: they name another issuer", code="issuer_mismatch", hint="issuer exactly as the server writes it"
        )
    aliases = found.get("mtls_endpoint_aliases")
    endpoint = found.get("token_endpoint")
    with_certificate = aliases.get("token_endpoint", endpoint) if isinstance(aliases, Mapping) else endpoint
    return Issuer(_endpoint(endpoint, issuer, what), _endpoint(with_certificate, issuer, what))


def _metadata(issuer: str, what: str, minting: Minting) -> Mapping[str, Any]:
    headers = {"Accept": "application/json", "User-Agent": user_agent()}
    for url in well_known(issuer):
        answer = send("GET", url, what, minting, headers=headers, body=None)
        if answer.status != 404:
            break
    else:
        raise _none(what)
    if answer.status != 200:
        raise refusal(answer, what) if answer.status >= 400 else nonsense(what)
    found = members(answer.body)
    if found is None:
        raise nonsense(what)
    return found


def _none(what: str) -> MintError:
    return SourceRefused(
        f"{what}: there are none", code="no_metadata", hint="issuer as the server writes it, or token_url instead"
    )


def _endpoint(url: Any, issuer: str, what: str) -> str:
    if isinstance(url, str) and (_TLS.fullmatch(url) or (issuer.startswith("http:") and _LOOPBACK.fullmatch(url))):
        return url
    raise SourceFailed(f"{what}: they name no token endpoint that is https", code="bad_endpoint", hint="token_url")
