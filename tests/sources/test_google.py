"""Google's tokens in every form: what is asked for, what comes back, and how it is verified."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Any

import jwt
import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import LeaseKey
from airflow_ephemeral_secrets.sources.base import Network, Source
from airflow_ephemeral_secrets.sources.google import Google
from tests.peers.authlib_server import AuthlibServer
from tests.peers.google_files import DOMAIN, MIDDLE, POOL, READER, TOKEN_URL, WORKER, key_file, private_key
from tests.peers.google_stubs import CLOUD_PLATFORM, LONG_NAMES, GoogleStub
from tests.sources import conformance
from tests.sources.asking import ask, given
from tests.sources.conformance import SourceConformance
from tests.sources.googling import (
    AUDIENCE,
    BIGQUERY,
    Write,
    denial,
    files,
    google,
    impersonation_url,
    mint,
    network,
    nobody,
    problems,
    write,
)

__all__ = ["files", "google", "network", "nobody", "write"]

USER = "user@example.com"
CALLER = Caller(
    process="task", dag_id="orders", task_id="load", run_id="manual__2026-01-01T00:00:00+00:00", team="sales"
)
TOKEN, INFO, IDENTITY = (
    f"metadata/computeMetadata/v1/instance/service-accounts/default/{path}" for path in ("token", "", "identity")
)
ENDPOINT, STS = TOKEN_URL.removeprefix("https://"), "sts.googleapis.com/v1/token"
FEDERATED = f"federated {POOL}"
OF_USER = "authorized user of an-app.apps.googleusercontent.com"


def iam(method: str, email: str = READER) -> str:
    return f"iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:{method}"


AS_READER = {"impersonate": READER}
ID = {"token": "id", "audience": AUDIENCE}
FORMS: dict[str, tuple[str | None, dict[str, Any], str, list[str]]] = {
    "metadata": (None, {}, WORKER, [INFO, TOKEN]),
    "metadata, id": (None, ID, WORKER, [IDENTITY]),
    "metadata, impersonate": (None, AS_READER, READER, [TOKEN, iam("generateAccessToken")]),
    "metadata, impersonate, id": (None, {**AS_READER, **ID}, READER, [TOKEN, iam("generateIdToken")]),
    "metadata, impersonate, subject": (None, {**AS_READER, "subject": USER}, USER, [TOKEN, iam("signJwt"), ENDPOINT]),
    "key": ("key", {}, WORKER, [ENDPOINT]),
    "key, id": ("key", ID, WORKER, [ENDPOINT]),
    "key, subject": ("key", {"subject": USER}, USER, [ENDPOINT]),
    "key, impersonate": ("key", AS_READER, READER, [ENDPOINT, iam("generateAccessToken")]),
    "federation": ("federation", {}, FEDERATED, [STS]),
    "federation, impersonate, id": ("federation", {**AS_READER, **ID}, READER, [STS, iam("generateIdToken")]),
    "acting federation": ("acting federation", {}, READER, [STS, iam("generateAccessToken")]),
    "acting federation, id": ("acting federation", ID, READER, [STS, iam("generateIdToken")]),
    "aws": ("aws", {}, FEDERATED, [STS]),
    "aws, impersonate": ("aws", AS_READER, READER, [STS, iam("generateAccessToken")]),
    "user": ("user", {}, OF_USER, [ENDPOINT]),
    "acting user": ("acting user", {}, READER, [ENDPOINT, iam("generateAccessToken")]),
    "user, impersonate, id": ("user", {**AS_READER, **ID}, READER, [ENDPOINT, iam("generateIdToken")]),
}
"""By name: the credentials file, the fields, who comes of it and what is asked for that."""


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(form: str, files: dict[str, str], google: GoogleStub) -> Google:
    google.delegated = {WORKER: {CLOUD_PLATFORM}, READER: {CLOUD_PLATFORM}}
    path, fields, _, _ = FORMS[form]
    return Google(**fields, credentials_file=files[path] if path else None)


class TestGoogleStub(SourceConformance):
    """Each form, against our stub of Google."""

    @pytest.fixture(autouse=True)
    def _reached(self, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conformance, "given", partial(given, network=network))

    @pytest.fixture
    def source(self, source: Google) -> Google:
        return source

    @pytest.fixture
    def asked(self, google: GoogleStub, form: str) -> Callable[[], int]:
        return lambda: len(google.requests) // len(FORMS[form][3])


def test_stub_is_asked_for_no_more_than_needed(form: str, source: Google, google: GoogleStub, network: Network) -> None:
    """Each form takes exactly the requests that it needs, at Google's own endpoints, and names who comes of it."""
    token = ask(source, network=network).credential

    assert token.principal == FORMS[form][2]
    assert google.targets == FORMS[form][3]
    assert token.expires_at
    assert 2_900 < token.expires_at - time.time() <= 3_601


def test_stub_is_asked_once_by_many(form: str, source: Google, google: GoogleStub, network: Network) -> None:
    """Sixteen threads on one cold lease make the requests of one mint."""
    clock = SystemClock()
    cache = LeaseCache(clock, Random(0), lambda: None)
    together = Barrier(16)

    def acquire() -> str:
        together.wait()
        minting = given(source, network=network)
        held = cache.acquire(
            LeaseKey("k"), lambda _: source.mint(minting), deadline=Deadline(clock, 10), hold=source.hold
        )
        return held.lease.credential.secrets()[0]

    with ThreadPoolExecutor(16) as pool:
        tokens = {future.result() for future in [pool.submit(acquire) for _ in range(16)]}

    assert len(tokens) == 1
    assert google.targets == FORMS[form][3]


# What arrives at our stub


def test_stub_gets_the_scopes(files: dict[str, str], google: GoogleStub, network: Network) -> None:
    """The configured scopes are those of the token, whoever asks; on the way it is cloud-platform."""
    google.instance_scopes = [BIGQUERY, CLOUD_PLATFORM]
    scopes = [BIGQUERY, "https://www.googleapis.com/auth/devstorage.read_only"]
    for path in (None, "key", "federation", "aws", "user"):
        token = mint(network, scopes=scopes, credentials_file=files[path] if path else None)
        assert google.principal(token.token).split()[1].replace(",", " ").split()[0] == BIGQUERY
        assert token.scope == " ".join(scopes)
    token = mint(network, scopes=scopes, impersonate=READER)
    assert google.principal(token.token) == f"{READER} {' '.join(scopes)}"


def test_stub_grants_under_longer_names(files: dict[str, str], google: GoogleStub, network: Network) -> None:
    """Scopes for signing in come back under other names than they were asked for, and nothing is missing."""
    token = mint(network, scopes=[BIGQUERY, "openid", "email", "profile"], credentials_file=files["user"])

    assert token.scope == f"{BIGQUERY} openid {' '.join(LONG_NAMES.values())}"


def test_stub_gets_what_impersonation_needs(google: GoogleStub, network: Network) -> None:
    """The API gets delegates in their full form, the lifetime of ttl and the scopes."""
    google.may(WORKER, MIDDLE, READER)

    credential = mint(network, impersonate=READER, delegates=[MIDDLE], ttl="20m", scopes=[BIGQUERY])

    assert google.requests[-1].json == {
        "scope": [BIGQUERY],
        "lifetime": "1200s",
        "delegates": [f"projects/-/serviceAccounts/{MIDDLE}"],
    }
    assert credential.expires_at
    assert 1_190 < credential.expires_at - time.time() <= 1_200


def test_stub_gets_the_subject_by_impersonation(google: GoogleStub, network: Network) -> None:
    """Domain-wide delegation without a key: the impersonated account signs for the user, no longer than an hour."""
    google.may(WORKER, MIDDLE, READER)
    google.delegated[READER] = {BIGQUERY}

    source = Google(impersonate=READER, delegates=[MIDDLE], subject="{team}@example.com", scopes=[BIGQUERY])
    assert ask(source, network=network, caller=CALLER).credential.principal == "sales@example.com"

    claims = json.loads(google.requests[1].json["payload"])
    assert claims.pop("exp") - claims.pop("iat") == 3_600
    assert claims == {"iss": READER, "sub": "sales@example.com", "scope": BIGQUERY, "aud": TOKEN_URL}
    assert google.requests[1].json["delegates"] == [f"projects/-/serviceAccounts/{MIDDLE}"]


def test_stub_gets_the_callers_facts(google: GoogleStub, network: Network) -> None:
    """Scopes, audience, account and subject may hold facts of the caller, which are filled in."""
    google.may(WORKER, f"airflow-sales@{DOMAIN}")
    source = Google(
        token="id", audience="https://{team}.example.com/{dag_id}", impersonate=f"airflow-{{team}}@{DOMAIN}"
    )

    token = ask(source, network=network, caller=CALLER).credential

    assert token.principal == f"airflow-sales@{DOMAIN}"
    assert google.requests[-1].json["audience"] == "https://sales.example.com/orders"


@pytest.mark.parametrize(
    ("attribution", "reason"),
    [
        ("none", None),
        ("dag", "airflow dag_id=orders"),
        ("run", "airflow dag_id=orders run_id=a--task_id-b-"),
        ("task", "airflow dag_id=orders run_id=a--task_id-b- task_id=load"),
    ],
)
@pytest.mark.parametrize("path", [None, "federation"])
def test_stub_gets_the_reason(
    files: dict[str, str], google: GoogleStub, network: Network, path: str | None, attribution: str, reason: str | None
) -> None:
    """IAM's and STS's audit logs name the caller as finely as configured, and no fact can pass for another."""
    caller = Caller(
        process="task", dag_id="orders", task_id="load", run_id="a\r\n task_id=b\u20ac"[0:3] + "task_id=b\u20ac"
    )
    fields: dict[str, Any] = {"credentials_file": files[path]} if path else {"impersonate": READER}

    ask(Google(attribution=attribution, **fields), network=network, caller=caller)

    assert google.requests[-1].headers.get("x-goog-request-reason") == reason


def test_stub_gets_a_bounded_reason(google: GoogleStub, network: Network) -> None:
    """However long the caller's facts are, the header stays short."""
    google.may(WORKER, READER)
    ask(
        Google(impersonate=READER, attribution="run"),
        network=network,
        caller=Caller(dag_id="d" * 250, run_id="r" * 250),
    )

    assert len(google.requests[-1].headers["x-goog-request-reason"]) == 250


def test_gcloud_file_is_found(files: dict[str, str], google: GoogleStub, network: Network, tmp_path: Path) -> None:
    """Without a configured file, gcloud's comes before the metadata server, as in Google's own libraries."""
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    Path(files["user"]).rename(folder / "application_default_credentials.json")

    assert mint(network).principal == OF_USER


def test_configured_file_comes_first(
    files: dict[str, str], network: Network, nobody: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the configuration names comes before the worker's environment, and that before gcloud's file."""
    nobody.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    Path(files["aws"]).rename(tmp_path / "application_default_credentials.json")
    assert mint(network).principal == FEDERATED
    nobody.setenv("GOOGLE_APPLICATION_CREDENTIALS", files["user"])
    assert mint(network).principal == OF_USER
    assert mint(network, credentials_file=files["key"]).principal == WORKER


def test_environment_is_a_fact(nobody: pytest.MonkeyPatch) -> None:
    """What decides which identity asks is part of the lease key, unless the configuration decides it."""
    free, fixed = Google(), Google(credentials_file="/a")
    before = (free.ambient(), fixed.ambient())
    nobody.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/b")

    assert (free.ambient() != before[0], fixed.ambient() != before[1]) == (True, False)


# Against others


def test_authlib_verifies_our_assertion(authlib: AuthlibServer, nobody: pytest.MonkeyPatch, write: Write) -> None:
    """An independent server of RFC 7523 takes what the key signs, for the scopes and the user that are configured."""
    email = f"authlib@{DOMAIN}"
    authlib.issuer(email, private_key(email).public_key(), scopes=[CLOUD_PLATFORM])
    authlib.audiences.add(TOKEN_URL)
    reached = Network(ca_file=authlib.ca_file, allow_endpoints=[authlib.token_url])
    path = write(key_file(email, token_uri=authlib.token_url))

    token = mint(reached, credentials_file=path, subject=USER)

    assert authlib.granted[token.token].issuer == email
    assert authlib.granted[token.token].subject == USER
    claims = jwt.decode(authlib.forms[-1]["assertion"], options={"verify_signature": False})
    assert (claims["scope"], claims["aud"]) == (CLOUD_PLATFORM, TOKEN_URL)


def test_authlib_refuses_another_key(authlib: AuthlibServer, nobody: pytest.MonkeyPatch, write: Write) -> None:
    """A key that was replaced at the provider is a refusal of what proves us, with its fixes."""
    email = f"rotated@{DOMAIN}"
    authlib.issuer(email, private_key("another").public_key(), scopes=[CLOUD_PLATFORM])
    authlib.audiences.add(TOKEN_URL)
    reached = Network(ca_file=authlib.ca_file, allow_endpoints=[authlib.token_url])

    error = denial(reached, credentials_file=write(key_file(email, token_uri=authlib.token_url)))

    assert (type(error), error.code, error.proof_rejected) == (SourceRefused, "invalid_grant", True)
    assert "this host's clock" in str(error)


# What our stub refuses


@pytest.mark.parametrize(
    ("path", "fields", "code", "hint"),
    [
        (None, {"impersonate": f"other@{DOMAIN}"}, "PERMISSION_DENIED", "roles/iam.serviceAccountTokenCreator"),
        (None, {"impersonate": READER, "delegates": [MIDDLE]}, "PERMISSION_DENIED", "for each of delegates"),
        (None, {"impersonate": READER, "ttl": "2h"}, "INVALID_ARGUMENT", "ttl of at most 1h"),
        ("key", {"subject": USER}, "unauthorized_client", "domain-wide delegation"),
        (None, {**AS_READER, "subject": USER}, "unauthorized_client", "domain-wide delegation"),
    ],
)
def test_stub_refuses(
    files: dict[str, str],
    google: GoogleStub,
    network: Network,
    path: str | None,
    fields: dict[str, Any],
    code: str,
    hint: str,
) -> None:
    """Google's own code is kept, its message is not, and what is likeliest to be missing is named."""
    error = denial(network, **fields, credentials_file=files[path] if path else None)

    assert (type(error), error.code) == (SourceRefused, code)
    assert hint in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (None, {"subject": USER}),
        ("federation", {"subject": USER}),
        ("user", {"subject": USER}),
        ("federation", ID),
        ("user", ID),
    ],
)
def test_identity_that_cannot(
    files: dict[str, str], google: GoogleStub, network: Network, path: str | None, fields: dict[str, Any]
) -> None:
    """An identity that cannot have what is wanted is told so before anything is asked, with the way out."""
    error = denial(network, **fields, credentials_file=files[path] if path else None)

    assert (type(error), error.code, google.requests) == (SourceUnavailable, "identity_unsuitable", [])
    assert "try: impersonate" in str(error)


# The configuration


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scopes": [BIGQUERY, "openid", "https://mail.google.com/"]},
        {"token": "id", "audience": "32555940559.apps.googleusercontent.com"},
        {"token": "id", "audience": "https://{team}.example.com/a?b=c", "impersonate": READER},
        {"impersonate": "1234-compute@developer.gserviceaccount.com", "delegates": [MIDDLE], "ttl": "12h"},
        {"impersonate": "{team}@{team}.iam.gserviceaccount.com"},
        {"subject": "{team}@example.com", "credentials_file": "/run/secrets/key.json"},
        {"credentials_file": "/run/secrets/acting.json", "ttl": "2h"},
    ],
)
def test_good_configuration(fields: dict[str, Any]) -> None:
    """What Google documents is accepted."""
    assert problems(**fields) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"token": "refresh"}, "source.token: expected"),
        ({"token": "id"}, "audience: goes with token: id"),
        ({"audience": AUDIENCE}, "audience: goes with token: id"),
        ({"token": "id", "audience": AUDIENCE, "scopes": [BIGQUERY]}, "scopes: does not go with token: id"),
        ({"token": "id", "audience": AUDIENCE, "subject": USER}, "subject: does not go with token: id"),
        ({"delegates": [MIDDLE]}, "delegates: lead to the service account"),
        ({"ttl": "0s"}, "ttl: Google accepts up to 12h, got '0s'"),
        ({"ttl": "13h", "impersonate": READER}, "ttl: Google accepts up to 12h"),
        ({"ttl": "2h"}, "ttl: Google gives 1h"),
        ({"ttl": "2h", "token": "id", "audience": AUDIENCE, "impersonate": READER}, "ttl: Google gives 1h"),
        ({"ttl": "2h", "subject": USER, "impersonate": READER}, "ttl: Google gives 1h"),
        ({"scopes": ["a b"]}, "source.scopes[0]: expected a scope"),
        ({"scopes": ["a,b"]}, "source.scopes[0]: expected a scope"),
        ({"scopes": ["a\n"]}, "source.scopes[0]: expected a scope"),
        ({"scopes": ["{user}"]}, "source.scopes[0]: expected a scope"),
        ({"token": "id", "audience": "a b"}, "source.audience: expected an audience"),
        ({"token": "id", "audience": f"{AUDIENCE}\n"}, "source.audience: expected an audience"),
        ({"impersonate": "user@example.com"}, "source.impersonate: expected the email of a service account"),
        ({"impersonate": "{dag_id}"}, "source.impersonate: expected the email of a service account"),
        ({"impersonate": f"{READER}\n"}, "source.impersonate: expected the email of a service account"),
        ({"impersonate": f"x/../{READER}"}, "source.impersonate: expected the email of a service account"),
        ({"impersonate": READER, "delegates": ["{team}@a.iam.gserviceaccount.com"]}, "source.delegates[0]: expected"),
        ({"subject": "user"}, "source.subject: expected the email of a user"),
        ({"credentials_file": "key.json"}, "source.credentials_file: expected an absolute path"),
        ({"credentials": {"secret": "x"}}, "source.credentials: unknown key"),
    ],
)
def test_bad_configuration(fields: dict[str, Any], said: str) -> None:
    """What Google would not take, or would take for something else, is found when the file is loaded."""
    assert any(problem.startswith(said) for problem in problems(**fields)), problems(**fields)


@pytest.mark.parametrize(
    ("fields", "dag_id", "code"),
    [
        ({"scopes": ["https://www.googleapis.com/auth/{dag_id}"]}, "bigquery,drive", "bad_scope"),
        ({"scopes": ["{dag_id}{dag_id}"]}, "x" * 250, "bad_scope"),
        ({"impersonate": f"{{dag_id}}@{DOMAIN}"}, "admin@other.iam.gserviceaccount.com", "bad_service_account"),
        ({"impersonate": f"{{dag_id}}@{DOMAIN}"}, "Orders", "bad_service_account"),
        ({"impersonate": f"{{dag_id}}@{DOMAIN}"}, "x" * 65, "bad_service_account"),
    ],
)
def test_facts_make_no_other_request(
    google: GoogleStub, network: Network, fields: dict[str, Any], dag_id: str, code: str
) -> None:
    """A caller's fact cannot add a scope, or lead to another account: it is refused before anything is asked."""
    with pytest.raises(SourceRefused) as caught:
        ask(Google(**fields), network=network, caller=Caller(dag_id=dag_id))

    assert (caught.value.code, google.requests) == (code, [])


def test_announces_where_it_asks() -> None:
    """The one endpoint that the configuration alone tells is announced, for doctor to try."""
    assert Google(impersonate=READER).endpoints() == [impersonation_url().partition("/v1/")[0]]
    assert Google().endpoints() == []


def test_is_a_source() -> None:
    """The kind is one that the configuration can name."""
    assert issubclass(Google, Source)
