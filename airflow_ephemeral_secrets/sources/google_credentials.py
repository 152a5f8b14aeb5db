"""
Whom this worker is to Google: a credentials file read, checked and made into an identity, or the metadata server.

A file may name endpoints. They must be Google's own, or those that Google's documents name for the cloud that a
federated identity comes from, or be listed in ``network.allow_endpoints``. A file that names a program is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.sources.allowed import require_allowed
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.files import read_text
from airflow_ephemeral_secrets.sources.google_client import (
    TOKEN_URL,
    Client,
    Wanted,
    id_token,
    load,
    made,
    unsuitable,
    unusable,
)
from airflow_ephemeral_secrets.sources.google_iam import Identity, Impersonated
from airflow_ephemeral_secrets.sources.google_metadata import MetadataServer
from airflow_ephemeral_secrets.sources.token_answer import members, nonsense, token

LARGEST = 64 * 1024
AMBIENT = (
    "HOME",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "GCE_METADATA_ROOT",
    "NO_GCE_CHECK",
)
"""What in the environment decides which identity this worker has, where no file is configured."""
AWS_AMBIENT = ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION")
"""The same for a file that federates with AWS."""

_REGIONAL = r"(([a-z0-9-]+-)?{0}|{0}\.[a-z0-9-]+\.rep|{0}-[a-z0-9-]+\.p)\.googleapis\.com"
_TOKEN = re.compile(
    r"https://(oauth2\.googleapis\.com/token|www\.googleapis\.com/oauth2/v[0-9]/token"
    r"|accounts\.google\.com/o/oauth2/token)"
)
_STS = re.compile(f"https://{_REGIONAL.format('sts')}/v1/(oauth)?token")
_INTROSPECT = re.compile(f"https://{_REGIONAL.format('sts')}/v1/introspect")
_ACCOUNT = r"[A-Za-z0-9._+-]{1,128}@[A-Za-z0-9.-]{1,190}"
_IMPERSONATE = re.compile(
    f"https://{_REGIONAL.format('iamcredentials')}/v1/projects/-/serviceAccounts/{_ACCOUNT}:generateAccessToken"
)
_ACCOUNT_URL = re.compile(rf"(https?://[!-~]+/serviceAccounts/)({_ACCOUNT}):generateAccessToken")
_AZURE = re.compile(r"http://169\.254\.169\.254/metadata/identity/oauth2/token\?[!-~]+")
_AWS = re.compile(r"http://169\.254\.169\.254/latest/[a-z/-]+")
_AWS_STS = re.compile(r"https://sts\.\{region\}\.amazonaws\.com(\.cn)?/?\?Action=GetCallerIdentity&Version=2011-06-15")
_EMAIL = re.compile(_ACCOUNT)
_WORD = re.compile(r"[\w.@:/-]{1,250}", re.ASCII)


class CredentialsFile(Struct, frozen=True):
    """
    What a file says, checked; it shows nothing of it.

    :param where: the file, for messages
    """

    info: Mapping[str, Any]
    where: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where})"

    def __rich_repr__(self) -> Any:
        yield self.where


class KeyFile(CredentialsFile, frozen=True):
    """A service account, by its key."""

    def access_token(self, client: Client, wanted: Wanted) -> BearerToken:
        """Exchange an assertion for an access token (RFC 7523), of a user where a subject is wanted."""
        principal = wanted.subject or self.info["client_email"]
        asked = client.asking(f"access token of {principal}", wanted.scopes)
        sdk = load("google.oauth2.service_account").Credentials.from_service_account_info
        key = made(lambda: sdk(self.info, scopes=list(wanted.scopes), subject=wanted.subject), self.where)
        return token(client.prove(key, self.info["token_uri"], asked.what, self.where), asked, principal=principal)

    def id_token(self, client: Client, audience: str) -> BearerToken:
        """Exchange an assertion for an ID token."""
        email = self.info["client_email"]
        asked = client.asking(f"ID token of {email}")
        sdk = load("google.oauth2.service_account").IDTokenCredentials.from_service_account_info
        key = made(lambda: sdk(self.info, target_audience=audience), self.where)
        found = members(client.prove(key, self.info["token_uri"], asked.what, self.where).body)
        if found is None:
            raise nonsense(asked.what)
        return id_token(found.get("id_token"), audience, asked, email)


class Federated(CredentialsFile, frozen=True):
    """An identity of another cloud or provider, exchanged at Google's STS (RFC 8693)."""

    def access_token(self, client: Client, wanted: Wanted) -> BearerToken:
        """Exchange the subject token that the file leads to."""
        principal = f"federated {self.info['audience']}"
        if wanted.subject:
            raise unsuitable("a federated identity", "key to act as a subject with")
        asked = client.asking(f"access token of {principal}", wanted.scopes)
        module = (
            "google.auth.aws" if "environment_id" in self.info["credential_source"] else "google.auth.identity_pool"
        )
        sdk = load(module).Credentials.from_info
        proof = made(lambda: sdk(self.info, scopes=list(wanted.scopes)), self.where)
        sent = [self.info["client_secret"]] if "client_secret" in self.info else []
        answer = client.prove(proof, self.info["token_url"], asked.what, self.where, sent=sent)
        return token(answer, asked, principal=principal)

    def id_token(self, client: Client, audience: str) -> BearerToken:
        """Refuse: Google's STS issues no ID tokens."""
        raise unsuitable("a federated identity", "ID token")


class AuthorizedUser(CredentialsFile, frozen=True):
    """A person who once agreed, by the refresh token that came of it."""

    def access_token(self, client: Client, wanted: Wanted) -> BearerToken:
        """Exchange the refresh token (RFC 6749 section 6)."""
        principal = f"authorized user of {self.info['client_id']}"
        if wanted.subject:
            raise unsuitable("an authorized user", "key to act as a subject with")
        asked = client.asking(f"access token of {principal}", wanted.scopes)
        sdk = load("google.oauth2.credentials").Credentials.from_authorized_user_info
        user = made(lambda: sdk(self.info, scopes=list(wanted.scopes)), self.where)
        return token(client.prove(user, TOKEN_URL, asked.what, self.where), asked, principal=principal)

    def id_token(self, client: Client, audience: str) -> BearerToken:
        """Refuse: a person's ID tokens are for the application that they agreed to."""
        raise unsuitable("an authorized user", "ID token for other audiences")


def identity(path: str | None, network: Network) -> Identity:
    """
    Find who this worker is: a credentials file, or else what Google calls application default credentials.

    :param path: the configured file; else ``GOOGLE_APPLICATION_CREDENTIALS``, gcloud's file, the metadata server
    :raises SourceUnavailable: when the file cannot be used, or names an endpoint or a program that it may not
    """
    path = path or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or _gcloud()
    if not path:
        return MetadataServer()
    where = f"credentials file {path}"
    info = members(read_text(path, LARGEST, "credentials file").encode())
    if info is None:
        raise unusable(where, "is not a JSON object")
    return _identity(info, where, network)


def _gcloud() -> str | None:
    """Find the file that ``gcloud auth application-default login`` writes."""
    folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    path = os.path.join(folder, "application_default_credentials.json")
    return path if os.path.isfile(path) else None


def _identity(info: Mapping[str, Any], where: str, network: Network) -> Identity:
    if info.get("universe_domain", "googleapis.com") != "googleapis.com":
        raise unusable(where, "is of another universe than googleapis.com, which is not supported")
    kinds = {
        "service_account": _key_file,
        "external_account": _federated,
        "authorized_user": _authorized_user,
        "impersonated_service_account": _impersonated,
    }
    kind = info.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        raise unusable(where, "is of a type that is not supported", f"a file of type {', '.join(kinds)}")
    return kinds[kind](info, where, network)


def _key_file(info: Mapping[str, Any], where: str, network: Network) -> Identity:
    names = ("client_email", "private_key", "private_key_id", "token_uri")
    kept = {name: _text(info, name, where) for name in names if name in info or name != "private_key_id"}
    if not _EMAIL.fullmatch(kept["client_email"]):
        raise unusable(where, "has a client_email that is none")
    require_allowed(kept["token_uri"], _TOKEN, network, f"token_uri of {where}")
    return KeyFile(kept, where)


def _authorized_user(info: Mapping[str, Any], where: str, network: Network) -> Identity:
    kept = {name: _text(info, name, where) for name in ("client_id", "client_secret", "refresh_token")}
    if not _WORD.fullmatch(kept["client_id"]):
        raise unusable(where, "has a client_id that is none")
    return AuthorizedUser(kept, where)


def _impersonated(info: Mapping[str, Any], where: str, network: Network) -> Identity:
    source = info.get("source_credentials")
    if not isinstance(source, Mapping) or source.get("type") == "impersonated_service_account":
        raise unusable(where, "has no source_credentials that could impersonate")
    delegates = info.get("delegates") or []
    names = [str(name).removeprefix("projects/-/serviceAccounts/") for name in delegates]
    if not isinstance(delegates, list) or not all(_EMAIL.fullmatch(name) for name in names):
        raise unusable(where, "has delegates that are not service accounts")
    return _acting(_identity(source, where, network), info, where, network, tuple(names))


def _federated(info: Mapping[str, Any], where: str, network: Network) -> Identity:
    source = info.get("credential_source")
    if not isinstance(source, Mapping):
        raise unusable(where, "has no credential_source")
    if "executable" in source or "certificate" in source:
        raise unusable(where, "takes its subject token from a program or certificate, which is not supported")
    kept = {name: _text(info, name, where) for name in ("audience", "subject_token_type", "token_url")}
    kept |= {
        name: _text(info, name, where)
        for name in ("client_id", "client_secret", "workforce_pool_user_project")
        if info.get(name)
    }
    if not _WORD.fullmatch(kept["audience"]):
        raise unusable(where, "has an audience that is none")
    require_allowed(kept["token_url"], _STS, network, f"token_url of {where}")
    if info.get("token_info_url"):
        require_allowed(info["token_info_url"], _INTROSPECT, network, f"token_info_url of {where}")
    _check_source(source, where, network)
    federated = Federated({**kept, "credential_source": source}, where)
    return _acting(federated, info, where, network) if info.get("service_account_impersonation_url") else federated


def _check_source(source: Mapping[str, Any], where: str, network: Network) -> None:
    """Let a subject token come only from a small file, the cloud's own metadata, or a listed endpoint."""
    if "environment_id" in source:
        for name in ("url", "region_url", "imdsv2_session_token_url"):
            if source.get(name) is not None:
                require_allowed(source[name], _AWS, network, f"credential_source.{name} of {where}")
        url = source.get("regional_cred_verification_url")
        require_allowed(url, _AWS_STS, network, f"credential_source.regional_cred_verification_url of {where}")
    elif source.get("url") is not None:
        require_allowed(source["url"], _AZURE, network, f"credential_source.url of {where}")
    else:
        # google-auth would wait for a pipe, and read a file of any size
        read_text(_text(source, "file", where), LARGEST, "subject token file")


def _acting(
    source: Identity, info: Mapping[str, Any], where: str, network: Network, delegates: tuple[str, ...] = ()
) -> Identity:
    name = "service_account_impersonation_url"
    match = _ACCOUNT_URL.fullmatch(require_allowed(info.get(name), _IMPERSONATE, network, f"{name} of {where}"))
    if not match:
        raise unusable(where, f"has a {name} that names no service account")
    return Impersonated(source, match[2], delegates, match[1])


def _text(info: Mapping[str, Any], name: str, where: str) -> str:
    value = info.get(name)
    if not isinstance(value, str) or not value:
        raise unusable(where, f"has no {name}")
    return value
