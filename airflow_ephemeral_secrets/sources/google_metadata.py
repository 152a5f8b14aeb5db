"""
The metadata server of Compute Engine, GKE, Cloud Run and the like, which knows the service account of this worker.

It is asked directly: google-auth's client for it needs requests, tries five times, and reads where it is at import.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlencode

from msgspec import Struct

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.exchange import Answer, exchange
from airflow_ephemeral_secrets.sources.google_client import (
    CLOUD_PLATFORM,
    SIGN_IN,
    Client,
    Wanted,
    id_token,
    unsuitable,
)
from airflow_ephemeral_secrets.sources.token_answer import Codes, members, nonsense, refusal, token

SERVER = "metadata.google.internal"
_EMAIL = re.compile(r"[A-Za-z0-9_.+-]{1,128}@[A-Za-z0-9.:-]{1,190}")
_REFUSED = "scopes or audience, and roles/iam.workloadIdentityUser where a GKE service account acts as one of IAM"
_FLAVOR = {"Metadata-Flavor": "Google"}
_NONE = "this worker has no Google identity"
_HINT = "a service account attached to this machine or pod, GOOGLE_APPLICATION_CREDENTIALS, or credentials_file"


class MetadataServer(Struct, frozen=True):
    """The service account attached to this machine, as its metadata server knows it."""

    def access_token(self, client: Client, wanted: Wanted) -> BearerToken:
        """
        Get an access token.

        :raises SourceUnavailable: when there is no metadata server or no service account, or a subject is wanted
        :raises SourceRefused: when the service account may not have the scopes
        """
        if wanted.subject:
            raise unsuitable("the service account of this machine", "key to act as a subject with")
        asked = client.asking("access token of this machine's service account", wanted.scopes)
        email = self._account(client, wanted) if wanted.handed_out else ""
        answer = self._ask(client, asked.what, "token", scopes=",".join(wanted.scopes))
        return token(answer, asked, principal=email)

    def id_token(self, client: Client, audience: str) -> BearerToken:
        """
        Get an ID token.

        :raises SourceUnavailable: when there is no metadata server or no service account
        """
        asked = client.asking("ID token of this machine's service account")
        answer = self._ask(client, asked.what, "identity", audience=audience, format="full")
        return id_token(answer.body.decode("latin-1").strip(), audience, asked, "the service account of this machine")

    def _account(self, client: Client, wanted: Wanted) -> str:
        """
        Name the account, and refuse scopes that its tokens cannot have.

        Compute Engine ignores the scopes that are asked for: its tokens have those of the instance.
        """
        what = "name and scopes of this machine's service account"
        found = members(self._ask(client, what, "", recursive="true").body)
        if found is None or not isinstance(found.get("scopes"), list) or not _EMAIL.fullmatch(str(found.get("email"))):
            raise nonsense(what)
        has = [*found["scopes"], *SIGN_IN]
        missing = [scope for scope in wanted.scopes if scope not in has]
        if missing and CLOUD_PLATFORM not in has:
            raise SourceRefused(
                f"{what}: it has no {' '.join(missing)}",
                code="scope_narrowed",
                hint="cloud-platform among the access scopes of this instance, or impersonate",
            )
        return str(found["email"])

    def _ask(self, client: Client, what: str, path: str, **query: str) -> Answer:
        """Ask as https://cloud.google.com/compute/docs/metadata/querying-metadata says."""
        if os.environ.get("NO_GCE_CHECK") == "true":
            raise SourceUnavailable(
                f"{_NONE}, and NO_GCE_CHECK says not to look for one", code="no_identity", hint=_HINT
            )
        host = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT") or SERVER
        try:
            answer = exchange(
                "GET",
                f"http://{host}/computeMetadata/v1/instance/service-accounts/default/{path}?{urlencode(query)}",
                headers=_FLAVOR,
                body=None,
                network=client.network,
                deadline=client.deadline,
                metadata=True,
            )
        except SourceFailed as error:
            failure: MintError = SourceFailed(f"{what}: {error.message}", code=error.code, hint=error.hint)
            if error.code in ("unreachable", "insecure"):
                failure = SourceUnavailable(f"{_NONE} ({error.message})", code="no_identity", hint=_HINT)
        else:
            if answer.status == 200 and answer.headers.get("metadata-flavor") == "Google":
                return answer
            failure = _refusal(answer, what)
        raise failure


def _refusal(answer: Answer, what: str) -> MintError:
    """Say what an answer that is not a good one means; what the server says with it is mostly text."""
    if answer.headers.get("metadata-flavor") != "Google":
        stranger = SourceUnavailable(f"{_NONE} (what answers is no metadata server)", code="no_identity", hint=_HINT)
        return stranger if answer.status < 400 else refusal(answer, what, Codes())
    if answer.status == 404:
        return SourceUnavailable(f"{_NONE} (its machine has no service account)", code="no_identity", hint=_HINT)
    if answer.status < 400:
        return nonsense(what)
    said = refusal(answer, what, Codes())
    if answer.status in (408, 425, 429) or answer.status >= 500:
        return said
    return SourceRefused(said.message.partition(",")[0], code=said.code, hint=said.hint or _REFUSED)
