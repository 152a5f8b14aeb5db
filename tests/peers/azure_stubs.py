"""
Azure as its documents describe it, ours: there is no emulator of Entra ID, of its metadata services or of Key Vault.

Scripts for :class:`tests.peers.rogue.Rogue`, for one connection each.

.. code-block:: python

    with Rogue(discovery, reply(granted()), tls=serving(authority)) as entra:
        ...  # ask entra.url as an authority, trusting the authority
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.peers.rogue import Peer, Request, Script, response

CANARY = "canary-of-a-body"
TOKEN = "minted-by-azure"
REQUEST_ID = "6d4f9a3e-0000-4000-8000-0000deadbeef"
LATER = 4_102_444_800


def granted(token: str = TOKEN, **members: Any) -> bytes:
    """Grant a token as Entra ID does, but for some members."""
    whole = {"token_type": "Bearer", "expires_in": 3_599, "ext_expires_in": 3_599, "access_token": token, **members}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def refused(code: str, error: str = "invalid_client") -> bytes:
    """Refuse as Entra ID does."""
    trace = f"Trace ID: {REQUEST_ID} Correlation ID: {REQUEST_ID} Timestamp: 2026-11-21 10:00:00Z"
    return json.dumps(
        {
            "error": error,
            "error_description": f"{code}: {CANARY}. {trace}",
            "error_codes": [int(code.removeprefix("AADSTS"))],
            "timestamp": "2026-11-21 10:00:00Z",
            "trace_id": REQUEST_ID,
            "correlation_id": REQUEST_ID,
        }
    ).encode()


def by_imds(token: str = TOKEN, **members: Any) -> bytes:
    """Grant a token as the instance metadata service does: all numbers are strings."""
    times = {"expires_in": "86399", "expires_on": str(LATER), "ext_expires_in": "86399", "not_before": "1700000000"}
    return granted(token, **{**times, "resource": "api://crm", "client_id": "an-identity", **members})


def by_app_service(token: str = TOKEN, expires_on: int = LATER, **members: Any) -> bytes:
    """Grant a token as App Service does: it says until when, and not for how long."""
    life = {"expires_in": None, "ext_expires_in": None, "expires_on": str(expires_on)}
    return granted(token, **{**life, "resource": "api://crm", "client_id": "an-identity", **members})


def discovery(peer: Peer) -> None:
    """Tell where the token endpoint is: here."""
    tell(lambda here: here)(peer)


def tell(where: Callable[[str], str]) -> Script:
    """Tell where the token endpoint is."""

    def script(peer: Peer) -> None:
        request = peer.read()
        tenant = request.target.split("/")[1]
        base = f"{where('https://' + request.headers['Host'])}/{tenant}"
        ends = {"token_endpoint": "token", "authorization_endpoint": "authorize"}
        document = {"issuer": f"{base}/v2.0", **{name: f"{base}/oauth2/v2.0/{end}" for name, end in ends.items()}}
        peer.send(response(json.dumps(document).encode(), Content_Type="application/json"))

    return script


def by_turns(*scripts: Script) -> Script:
    """Play a script to each client, and start again after the last: for servers that are asked more than once."""
    turn, lock = [0], Lock()

    def script(peer: Peer) -> None:
        with lock:
            chosen = scripts[turn[0] % len(scripts)]
            turn[0] += 1
        chosen(peer)

    return script


def arc(folder: Path, key: str, *, named: str = "") -> Script:
    """
    Be Azure Arc's agent: who can read a file of root's is on this machine.

    :param folder: where the agent keeps its keys
    :param named: the file that is named instead of one that is there
    """
    path = folder / "a-key.key"
    path.write_text(key)
    challenge = {"WWW_Authenticate": f"Basic realm={named or path}"}

    def script(peer: Peer) -> None:
        request = peer.read()
        assert request.headers["Metadata"] == "true"
        proof = request.headers["Authorization"]
        if proof is None:
            peer.send(response(b"", status=401, **challenge))
        else:
            query = parse_qs(urlsplit(request.target).query)
            echoed = {"client_id": query.get("client_id", ["an-identity"])[0]}
            right = proof == f"Basic {key}"
            peer.send(response(by_imds(**echoed) if right else b"{}", status=200 if right else 401))

    return script


def vault(
    secrets: Mapping[str, Any],
    *,
    bearer: str = TOKEN,
    resource: str = "https://vault.azure.net",
    attributes: Mapping[str, Any] | None = None,
) -> Script:
    """
    Be a Key Vault: ask for a token, then for the right one.

    :param secrets: their values, by ``name`` and ``name/version``
    :param bearer: the token that may read
    :param resource: what its challenge asks a token for
    """

    def script(peer: Peer) -> None:
        peer.send(_answer(peer.read()))

    def _answer(request: Request) -> bytes:
        if request.headers["Authorization"] != f"Bearer {bearer}":
            return challenge(resource)
        name = urlsplit(request.target).path.removeprefix("/secrets/").rstrip("/")
        if name not in secrets:
            return response(failed("SecretNotFound"), status=404, X_Ms_Request_Id=REQUEST_ID)
        about = {"enabled": True, "created": 1_700_000_000, "updated": 1_700_000_000, **(attributes or {})}
        url = f"https://{request.headers['Host']}/secrets/{name.partition('/')[0]}/0123456789abcdef"
        return response(json.dumps({"value": secrets[name], "id": url, "attributes": about}).encode())

    return script


def challenge(resource: str = "https://vault.azure.net") -> bytes:
    """Ask for a token as Key Vault does."""
    asked = f'Bearer authorization="https://login.microsoftonline.com/a-tenant", resource="{resource}"'
    return response(failed("Unauthorized"), status=401, WWW_Authenticate=asked)


def after_challenge(body: bytes, *, status: int = 200, **headers: str) -> Script:
    """Be a Key Vault that says this to whoever comes with a token."""

    def script(peer: Peer) -> None:
        proven = peer.read().headers["Authorization"]
        peer.send(response(body, status=status, **headers) if proven else challenge())

    return script


def failed(code: str, inner: str | None = None) -> bytes:
    """Fail as Key Vault does."""
    reason = {"innererror": {"code": inner}} if inner else {}
    return json.dumps({"error": {"code": code, "message": CANARY, **reason}}).encode()


def jwt(**claims: Any) -> str:
    """Write a JWT as Entra ID does; nobody signed it."""
    parts: Iterable[Mapping[str, Any]] = ({"typ": "JWT", "alg": "RS256"}, claims)
    return ".".join(
        [*(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "signature"]
    )
