"""The kinds of sources that ask a token endpoint, each configured to ask a server of this host instead."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_ephemeral_secrets.clock import Duration
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import MintError, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources.apigee import Apigee
from airflow_ephemeral_secrets.sources.azure import Azure
from airflow_ephemeral_secrets.sources.base import Endpoint, Minting, Network, Source
from airflow_ephemeral_secrets.sources.google import Google
from airflow_ephemeral_secrets.sources.oauth2 import OAuth2
from airflow_ephemeral_secrets.sources.token_answer import Asked
from airflow_ephemeral_secrets.sources.token_endpoint import request_token
from tests.peers.rogue import Peer, Rogue, Script, reply, response
from tests.peers.tls import serving
from tests.sources.asking import SECONDS, given
from tests.sources.bad_tokens import BAD, FEW, MINTED, Bare, Good, jwt

SECRET = "canary_secret_of_a_client1"
"""Alone it looks like an error code, and so does its Basic form with ``abc`` before it."""
SUBJECT_TOKEN = "canary.of.a-subject-token"
SCOPE = "read"
ACCOUNT = "airflow@a-project.iam.gserviceaccount.com"
AUDIENCE = "https://reports.test"
LATER = int(time.time()) + 3_600


class TokenEndpoint(Source, frozen=True, kw_only=True, tag="token_endpoint"):
    """
    Ask a token endpoint, and do nothing else.

    :param token_url: the endpoint
    :param client_secret: proves the client
    """

    ttl: Duration = "1h"
    token_url: Endpoint
    client_secret: SecretName

    def yields(self) -> type[Credential]:
        return BearerToken

    def mint(self, minting: Minting) -> Credential:
        secret = minting.secret(self.client_secret)
        form = {"grant_type": "client_credentials", "client_secret": secret, "scope": SCOPE}
        asked = Asked(what="a token of idp.test", at=minting.asked, scopes=[SCOPE])
        return request_token(self.token_url, form, asked, minting, principal="abc", sent=[secret])


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@cache
def private_key() -> str:
    """An RSA key in PEM, made once."""
    return _pem(rsa.generate_private_key(65_537, 2_048))


@cache
def short_key() -> str:
    """A key in PEM whose signatures are short enough to look like the id of a request, made once."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


@cache
def certificate() -> str:
    """A certificate and its RSA key in PEM, made once."""
    leaf = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("client.test", key_type=trustme.KeyType.RSA)
    return leaf.private_key_and_cert_chain_pem.bytes().decode()


SECRETS: dict[str, Callable[[], str]] = {
    "client": lambda: SECRET,
    "token": lambda: SUBJECT_TOKEN,
    "key": private_key,
    "short-key": short_key,
    "certificate": certificate,
}


def hidden() -> list[str]:
    """List what is secret on our side; of PEM a line of the key."""
    pems = (private_key(), short_key(), certificate())
    return [SECRET, SUBJECT_TOKEN, *(pem.splitlines()[2] for pem in pems)]


class Kind(NamedTuple):
    """
    A kind, and how to lead it to a server.

    :param source: makes the source from the URL of the server, and a folder for files
    :param environment: variables that lead it there
    :param good: what its provider answers
    :param before: what its provider is asked before, and answers then
    :param header: what its provider's answers have among their headers
    :param scoped: whether it asks for scopes
    :param tls: whether it insists on https
    :param like: whether another kind asks and reads in the same way, so that a few bad answers are enough
    :param skips: names of bad answers that its provider's have no room for
    :param differs: what those become that mean something else there
    """

    source: Callable[[str, Path], Source]
    environment: Callable[[str, Path], Mapping[str, str]] = lambda *_: {}
    good: Good = Good({"access_token": MINTED, "token_type": "Bearer", "expires_in": 3600})
    before: tuple[Script, ...] = ()
    header: str = ""
    scoped: bool = False
    tls: bool = False
    like: bool = False
    skips: frozenset[str] = frozenset()
    differs: Mapping[str, tuple[type[MintError], str]] = {}

    def meets(self) -> list[str]:
        """Name the bad answers that it must stand."""
        names = FEW if self.like else BAD
        return [name for name in names if name not in self.skips and (self.scoped or not BAD[name].scoped)]


class Stage:
    """What a kind needs around it to be asked by a server of this host."""

    def __init__(self, kind: Kind, folder: Path, patch: pytest.MonkeyPatch, authority: trustme.CA) -> None:
        self.kind = kind
        self._folder = folder
        self._patch = patch
        self._authority = authority

    def serve(self, *scripts: Script) -> AbstractContextManager[Rogue]:
        """Serve these, each after what the provider is asked before."""
        played = [with_header(script, self.kind.header) for one in scripts for script in (*self.kind.before, one)]
        return Rogue(*played, tls=serving(self._authority) if self.kind.tls else None)

    def prepare(self, url: str) -> Callable[..., Credential]:
        """Lead the kind to a server; what comes back mints once."""
        ca_file = self._folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(ca_file))
        for name, value in self.kind.environment(url, self._folder).items():
            self._patch.setenv(name, value)
        source = self.kind.source(url, self._folder)
        network = Network(ca_file=str(ca_file), allow_endpoints=[url])

        def mint(seconds: float = SECONDS) -> Credential:
            return source.mint(
                given(source, network=network, secret=lambda name: SECRETS[name.secret](), seconds=seconds)
            )

        return mint


class WithHeader:
    """A client that gets one more header with every answer."""

    def __init__(self, peer: Peer, header: str) -> None:
        self._peer = peer
        self._header = header.encode()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def send(self, raw: bytes) -> None:
        status, line, rest = raw.partition(b"\r\n")
        self._peer.send(b"".join([status, line, self._header, line, rest]) if status.startswith(b"HTTP/1.1 ") else raw)


def with_header(script: Script, header: str) -> Script:
    """Add a header to whatever a script answers."""
    return (lambda peer: script(cast(Peer, WithHeader(peer, header)))) if header else script


def clear(patch: pytest.MonkeyPatch, names: Iterable[str]) -> None:
    """Take away what in the environment could give a kind an identity."""
    prefixes = ("AZURE_", "IDENTITY_", "IMDS_", "MSI_", "GOOGLE_", "GCE_", "NO_GCE_")
    for name in [name for name in names if name.startswith(prefixes)]:
        patch.delenv(name)
    patch.setenv("CLOUDSDK_CONFIG", os.devnull)


# Any server


def _token_endpoint(url: str, _: Path) -> Source:
    return TokenEndpoint(token_url=f"{url}/token", client_secret=SecretName("client"))


def _oauth2(**fields: Any) -> Callable[[str, Path], Source]:
    return lambda url, _: OAuth2(**{"token_url": f"{url}/token", "client_id": "abc", "scopes": [SCOPE], **fields})


def _discovered(url: str, _: Path) -> Source:
    return OAuth2(issuer=url, client_id="abc", client_secret=SecretName("client"), scopes=[SCOPE])


def _metadata(peer: Peer) -> None:
    """Answer with the metadata of an issuer, which is whoever was asked."""
    url = f"http://{peer.read().headers['Host']}"
    peer.send(response(json.dumps({"issuer": url, "token_endpoint": f"{url}/token"}).encode()))


def _oauth2_kinds() -> dict[str, Kind]:
    client, key = SecretName("client"), SecretName("key")
    exchange = {"grant": "token_exchange", "subject_token": SecretName("token"), "client_secret": client}
    return {
        "oauth2 basic": Kind(_oauth2(client_secret=client), scoped=True),
        "oauth2 basic_raw": Kind(_oauth2(client_secret=client, client_auth="basic_raw"), scoped=True, like=True),
        "oauth2 post": Kind(_oauth2(client_secret=client, client_auth="post"), scoped=True, like=True),
        "oauth2 private_key_jwt": Kind(
            _oauth2(private_key=SecretName("short-key"), client_auth="private_key_jwt"), scoped=True
        ),
        "oauth2 mtls": Kind(
            _oauth2(certificate=SecretName("certificate"), client_auth="mtls"), scoped=True, tls=True, like=True
        ),
        "oauth2 none": Kind(_oauth2(client_auth="none"), scoped=True, like=True),
        "oauth2 by issuer": Kind(_discovered, before=(_metadata,), scoped=True, like=True),
        "oauth2 token_exchange": Kind(_oauth2(**exchange), scoped=True),
        "oauth2 jwt_bearer": Kind(
            _oauth2(grant="jwt_bearer", client_auth="none", private_key=key), scoped=True, like=True
        ),
        "oauth2 jwt_bearer given": Kind(
            _oauth2(grant="jwt_bearer", client_secret=client, assertion=SecretName("token")), scoped=True, like=True
        ),
    }


# Apigee

APIGEE = Good({"access_token": MINTED, "token_type": "BearerToken", "expires_in": "3599", "status": "approved"})


def _apigee(where: str) -> Callable[[str, Path], Source]:
    def make(url: str, _: Path) -> Source:
        fields = {"client_id": "abc", "client_secret": SecretName("client"), "scopes": [SCOPE], "grant_type_in": where}
        return Apigee(token_url=f"{url}/oauth/token", **fields)  # type: ignore[arg-type]

    return make


# Azure

IMDS = Good({"access_token": MINTED, "token_type": "Bearer", "expires_in": "86399", "resource": "api://crm"})
APP_SERVICE = Good({"access_token": MINTED, "token_type": "Bearer", "expires_on": str(LATER)}, life="expires_on")
ENTRA = Good({"access_token": MINTED, "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599})


def _azure(**fields: Any) -> Callable[[str, Path], Source]:
    return lambda *_: Azure(scope="api://crm/.default", **fields)


def _azure_client(**fields: Any) -> Callable[[str, Path], Source]:
    return lambda url, _: Azure(
        scope="api://crm/.default", client_id="app", tenant_id="tenant", authority=url, **fields
    )


def _openid(peer: Peer) -> None:
    """Answer with the metadata of a tenant of Entra ID."""
    url = f"https://{peer.read().headers['Host']}/tenant"
    found = {
        "token_endpoint": f"{url}/oauth2/v2.0/token",
        "authorization_endpoint": f"{url}/oauth2/v2.0/authorize",
        "issuer": f"{url}/v2.0",
    }
    peer.send(response(json.dumps(found).encode(), Content_Type="application/json"))


def _pod(url: str, folder: Path) -> Mapping[str, str]:
    path = folder / "federated-token"
    path.write_text(SUBJECT_TOKEN)
    return {
        "AZURE_AUTHORITY_HOST": url,
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "app",
        "AZURE_FEDERATED_TOKEN_FILE": str(path),
    }


def _azure_kinds() -> dict[str, Kind]:
    entra = {"good": ENTRA, "before": (_openid,), "tls": True}
    given = {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": SECRET}
    return {
        "azure managed": Kind(
            _azure(identity="managed"),
            lambda url, _: {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url},
            good=IMDS,
        ),
        "azure managed by App Service": Kind(
            _azure(identity="managed"),
            lambda url, _: {"IDENTITY_ENDPOINT": f"{url}/msi/token", "IDENTITY_HEADER": SECRET},
            good=APP_SERVICE,
        ),
        "azure client_secret": Kind(
            _azure_client(identity="client_secret", client_secret=SecretName("client")), **entra
        ),
        "azure client_certificate": Kind(
            _azure_client(identity="client_certificate", certificate=SecretName("certificate")), **entra, like=True
        ),
        "azure workload": Kind(_azure(identity="workload"), _pod, good=ENTRA, tls=True),
        "azure default": Kind(
            _azure(identity="default"), lambda url, _: {"AZURE_AUTHORITY_HOST": url, **given}, **entra, like=True
        ),
    }


# Google

LIVES = frozenset(name for name in BAD if name.startswith("life"))
TYPES = frozenset({"mac", "dpop"})
EXPIRY = datetime.fromtimestamp(LATER, timezone.utc).isoformat()
IAM = Good({"accessToken": MINTED, "expireTime": EXPIRY}, token="accessToken", life="expireTime")


_METADATA_SAYS: dict[str, tuple[type[MintError], str]] = {
    **dict.fromkeys(
        [name for name, bad in BAD.items() if bad.code == "unreachable"], (SourceUnavailable, "no_identity")
    ),
    "400 with a page": (SourceRefused, "HTTP 400"),
    "403 of a firewall": (SourceRefused, "HTTP 403"),
    "404 with a page": (SourceUnavailable, "no_identity"),
}
"""What Google's metadata server answers is text as often as not, and nobody stands between it and this host."""


def _file(content: Mapping[str, Any], folder: Path) -> str:
    path = folder / "credentials.json"
    path.write_text(json.dumps(content))
    return str(path)


def _key(url: str) -> dict[str, Any]:
    return {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": private_key(),
        "private_key_id": "1",
        "token_uri": f"{url}/token",
    }


def _federated(url: str, folder: Path) -> dict[str, Any]:
    path = folder / "subject-token"
    path.write_text(SUBJECT_TOKEN)
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/v1/token",
        "credential_source": {"file": str(path)},
    }


def _acting(url: str) -> dict[str, Any]:
    return {"service_account_impersonation_url": f"{url}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"}


def _google_kinds() -> dict[str, Kind]:
    named = reply(json.dumps({"email": ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}).encode())
    proven = reply(json.dumps({"access_token": SUBJECT_TOKEN, "token_type": "Bearer", "expires_in": 3600}).encode())
    id_token = jwt(aud=AUDIENCE, exp=LATER, email=ACCOUNT)
    return {
        "google metadata": Kind(
            lambda *_: Google(),
            lambda url, _: {"GCE_METADATA_HOST": url.partition("://")[2]},
            before=(named,),
            header="Metadata-Flavor: Google",
            scoped=True,
            differs=_METADATA_SAYS,
        ),
        "google metadata, ID token": Kind(
            lambda *_: Google(token="id", audience=AUDIENCE),
            lambda url, _: {"GCE_METADATA_HOST": url.partition("://")[2]},
            good=Bare({"token": id_token}, token="token"),
            header="Metadata-Flavor: Google",
            like=True,
            skips=frozenset({"token twice", "life zero"}),
            differs=_METADATA_SAYS,
        ),
        "google key": Kind(lambda url, folder: Google(credentials_file=_file(_key(url), folder)), scoped=True),
        "google key, ID token": Kind(
            lambda url, folder: Google(token="id", audience=AUDIENCE, credentials_file=_file(_key(url), folder)),
            good=Good({"id_token": id_token}, token="id_token"),
            skips=LIVES | TYPES,
        ),
        "google federated": Kind(
            lambda url, folder: Google(credentials_file=_file(_federated(url, folder), folder)), scoped=True
        ),
        "google federated and impersonated": Kind(
            lambda url, folder: Google(credentials_file=_file({**_federated(url, folder), **_acting(url)}, folder)),
            good=IAM,
            before=(proven,),
            skips=TYPES,
        ),
    }


KINDS: dict[str, Kind] = {
    "token_endpoint": Kind(_token_endpoint, scoped=True),
    **_oauth2_kinds(),
    "apigee": Kind(_apigee("body"), good=APIGEE, scoped=True),
    "apigee by query": Kind(_apigee("query"), good=APIGEE, scoped=True, like=True),
    **_azure_kinds(),
    **_google_kinds(),
}
