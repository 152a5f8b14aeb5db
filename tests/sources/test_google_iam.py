"""Service accounts impersonated: what is asked of IAM, and what is believed of its answers."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest

from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.exchange import exchange
from airflow_ephemeral_secrets.sources.google import Google
from airflow_ephemeral_secrets.sources.google_client import _Response
from tests.peers.google_files import MIDDLE, READER, WORKER, key_file
from tests.peers.google_stubs import CLOUD_PLATFORM, GoogleStub
from tests.peers.rogue import Rogue, reply
from tests.sources.asking import ask
from tests.sources.googling import (
    AUDIENCE,
    BIGQUERY,
    Write,
    files,
    google,
    mint,
    network,
    nobody,
    write,
)

__all__ = ["files", "google", "network", "nobody", "write"]


@pytest.mark.parametrize("subject", [None, "user@example.com"])
def test_stock_client_asks_our_stub_the_same(google: GoogleStub, network: Network, subject: str | None) -> None:
    """What google-auth's own client asks of the stub when it impersonates, byte by byte, is what we ask."""
    google.may(WORKER, MIDDLE, READER)
    google.delegated[READER] = {BIGQUERY}
    mint(network, impersonate=READER, delegates=[MIDDLE], subject=subject, scopes=[BIGQUERY])
    ours = google.requests[1:]
    google.requests.clear()

    stock(network, subject)

    theirs = google.requests[1:]
    assert [request.target for request in ours] == [request.target for request in theirs]
    assert _asserted(ours[0].json) == _asserted(theirs[0].json)
    if subject:
        assert ours[1].form["grant_type"] == theirs[1].form["grant_type"]


def _asserted(request: dict[str, Any]) -> dict[str, Any]:
    if "payload" not in request:
        return request
    claims = json.loads(request["payload"])
    return {**request, "payload": {**claims, "iat": 0, "exp": claims["exp"] - claims["iat"]}}


def stock(network: Network, subject: str | None) -> None:
    """Impersonate by google-auth alone."""
    from google.auth import impersonated_credentials
    from google.oauth2.service_account import Credentials

    def request(url: str, method: str = "GET", body: Any = None, headers: Any = None, **_: Any) -> _Response:
        deadline = Deadline(SystemClock(), 10)
        answer = exchange(method, url, headers=headers, body=body, network=network, deadline=deadline)
        return _Response(answer.status, answer.headers, answer.body.decode())

    impersonated_credentials.Credentials(
        Credentials.from_service_account_info(key_file(), scopes=[CLOUD_PLATFORM]),
        target_principal=READER,
        target_scopes=[BIGQUERY],
        delegates=[f"projects/-/serviceAccounts/{MIDDLE}"],
        subject=subject,
    ).refresh(request)


# What is believed of an answer


def acting(url: str, write: Write, tmp_path: Path, **fields: Any) -> Google:
    """A federation that impersonates, both at one local server."""
    from tests.peers.google_files import federation

    (tmp_path / "token").write_text("subject")
    info = federation(
        {"file": str(tmp_path / "token")},
        token_url=f"{url}/sts",
        service_account_impersonation_url=f"{url}/v1/projects/-/serviceAccounts/{READER}:generateAccessToken",
    )
    return Google(credentials_file=write(info), **fields)


PROOF = reply(json.dumps({"access_token": "proof", "expires_in": 60, "token_type": "Bearer"}).encode())


def answered(body: Any, write: Write, tmp_path: Path, **fields: Any) -> Any:
    """Mint, or fail to, with this as the answer of the IAM Service Account Credentials API."""
    with Rogue(PROOF, reply(json.dumps(body).encode())) as server:
        source = acting(server.url, write, tmp_path, **fields)
        try:
            return ask(source, network=Network(allow_endpoints=[server.url])).credential
        except MintError as error:
            return type(error), error.code


def rfc3339(seconds: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return time.strftime(form, time.gmtime(time.time() + seconds))


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("expire_time", "life"),
    [
        (partial(rfc3339, 1_800), 1_800),
        (partial(rfc3339, 1_800, "%Y-%m-%dT%H:%M:%S.123456789Z"), 1_800),
        (partial(rfc3339, 1_800, "%Y-%m-%dT%H:%M:%S+00:00"), 1_800),
        (partial(rfc3339, 9_000, "%Y-%m-%dT%H:%M:%S+02:00"), 1_800),
        (partial(rfc3339, 86_400), 3_600),
        (partial(rfc3339, -1), "bad_lifetime"),
        (partial(rfc3339, 8 * 86_400), "bad_lifetime"),
        ("9999-12-31T23:59:59Z", "bad_lifetime"),
        (partial(rfc3339, 1_800, "%Y-%m-%dT%H:%M:%S"), "bad_lifetime"),
        ("", "bad_lifetime"),
        ("soon", "bad_lifetime"),
        (None, "bad_lifetime"),
        (1_800, "bad_lifetime"),
        (True, "bad_lifetime"),
    ],
)
def test_expire_time(expire_time: Any, life: int | str, write: Write, tmp_path: Path) -> None:
    """An impersonated token lives as long as it says, and never longer than asked for; nonsense is a failure."""
    moment = expire_time() if callable(expire_time) else expire_time
    found = answered({"accessToken": "minted", "expireTime": moment}, write, tmp_path)

    if isinstance(life, str):
        assert found == (SourceFailed, life)
    else:
        assert abs(found.expires_at - time.time() - life) < 60


NOW = int(time.time())


def id_token(**claims: Any) -> str:
    every = {"aud": AUDIENCE, "exp": NOW + 3_600, "email": READER, **claims}
    return jwt.encode({name: value for name, value in every.items() if value is not None}, "k" * 32, "HS256")


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("token", "found"),
    [
        (id_token(), READER),
        (id_token(aud=[AUDIENCE]), READER),
        (id_token(email=None), READER),
        (id_token(aud="https://other.example.com"), (SourceRefused, "audience_mismatch")),
        (id_token(aud=[AUDIENCE, "https://other.example.com"]), (SourceRefused, "audience_mismatch")),
        (id_token(aud=f"{AUDIENCE}/"), (SourceRefused, "audience_mismatch")),
        (id_token(aud=None), (SourceRefused, "audience_mismatch")),
        (id_token(exp=None), (SourceFailed, "bad_answer")),
        (jwt.encode({"aud": AUDIENCE, "exp": None}, "k" * 32), (SourceFailed, "bad_answer")),
        (id_token(exp=1), (SourceFailed, "bad_lifetime")),
        (id_token(exp="soon"), (SourceFailed, "bad_lifetime")),
        (id_token(exp=NOW + 8 * 86_400), (SourceFailed, "bad_lifetime")),
        ("no JWT", (SourceFailed, "bad_answer")),
        ("a.b.c", (SourceFailed, "bad_answer")),
        (f"{id_token()}\r\nX: y", (SourceFailed, "bad_answer")),
        (None, (SourceFailed, "bad_answer")),
        ({"token": "x"}, (SourceFailed, "bad_answer")),
    ],
)
def test_id_token(token: Any, found: Any, write: Write, tmp_path: Path) -> None:
    """An ID token is one for exactly the audience that was asked for, with an end, or it is not used."""
    minted = answered({"token": token}, write, tmp_path, token="id", audience=AUDIENCE)

    assert (minted if isinstance(minted, tuple) else minted.principal) == found
