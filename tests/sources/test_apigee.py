"""Sources of kind ``apigee``, against our own stub of Apigee and the answers that its documents show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import LeaseKey
from airflow_ephemeral_secrets.reading import Problems, SecretName, struct
from airflow_ephemeral_secrets.sources.apigee import Apigee
from tests.leases.made import threads
from tests.peers.apigee import ApigeeStub
from tests.peers.rogue import Rogue, reply
from tests.sources.asking import ask, failure, given, story
from tests.sources.conformance import SourceConformance

KEY, SECRET = "x9aKbTGeyA1mKyC7wDOwqbGHfGdk2KWd", "Ps7yZ0aqDXHxEMDg"
CANARY = "canary-of-an-apigee"
HELD = SecretName("app")

Place = Literal["body", "query"]


def secret(name: SecretName) -> str:
    assert name == HELD
    return SECRET


def asks(token_url: str, **fields: Any) -> Apigee:
    return Apigee(**{"token_url": token_url, "client_id": KEY, "client_secret": HELD, **fields})


@pytest.fixture
def stub() -> Iterator[ApigeeStub]:
    with ApigeeStub() as apigee:
        apigee.app(KEY, SECRET, scopes=["read", "write"])
        yield apigee


class TestStub(SourceConformance):
    @pytest.fixture
    def source(self, stub: ApigeeStub) -> Apigee:
        return asks(stub.token_url)

    @pytest.fixture
    def secret(self) -> Callable[[SecretName], str]:
        return secret

    @pytest.fixture
    def asked(self, stub: ApigeeStub) -> Callable[[], int]:
        return lambda: len(stub.requests)


@pytest.mark.parametrize("place", ["body", "query"])
@pytest.mark.parametrize("scopes", [[], ["read"], ["read", "write"]])
def test_our_stub_grants(place: Place, scopes: list[str]) -> None:
    """What the policy reads where is sent there: a token of its words, numbers as text, becomes one of ours."""
    with ApigeeStub(grant_type_in=place) as stub:
        stub.app(KEY, SECRET, scopes=["read", "write"])
        lease = ask(asks(stub.token_url, scopes=scopes, grant_type_in=place), secret=secret)

    credential = lease.credential
    assert isinstance(credential, BearerToken)
    assert (credential.token, credential.principal, lease.life) == (stub.tokens[0], KEY, 1_799)
    assert credential.scope == " ".join(scopes or ["read", "write"])
    (request,) = stub.requests
    assert ("?" in request.target) == (place == "query")
    assert (request.body == b"") == (place == "query")
    assert SECRET not in request.target


def test_our_stub_decodes_nothing() -> None:
    """Apigee takes key and secret out of Basic as they are, so that nothing is encoded before."""
    with ApigeeStub() as stub:
        stub.app(KEY, "an+own/secret%of=ours")
        assert ask(asks(stub.token_url), secret=lambda _: "an+own/secret%of=ours").credential.secrets()


def test_our_stub_grants_without_scopes() -> None:
    """An app whose products have no scopes gets a token whose scope is empty."""
    with ApigeeStub() as stub:
        stub.app(KEY, SECRET)
        assert ask(asks(stub.token_url), secret=secret).credential.scope is None


def test_our_stub_narrows(stub: ApigeeStub) -> None:
    """The grant is what the app's products have of what was asked: less is refused."""
    error = failure(asks(stub.token_url, scopes=["read", "admin"]), secret=secret)

    assert (type(error), error.code) == (SourceRefused, "scope_narrowed")


@pytest.mark.parametrize(("asked", "read"), [("query", "body"), ("body", "query")])
def test_our_stub_misses_the_grant_type(asked: Place, read: Place) -> None:
    """A policy that reads elsewhere says so, and the hint names the field that mends it."""
    with ApigeeStub(grant_type_in=read, errors="old") as stub:
        stub.app(KEY, SECRET)
        error = failure(asks(stub.token_url, grant_type_in=asked), secret=secret)

    assert (type(error), error.code) == (SourceRefused, "invalid_request")
    assert "grant_type_in" in str(error.hint)


@pytest.mark.parametrize(
    ("errors", "code"),
    [("fault", "oauth.v2.InvalidClientIdentifier"), ("old", "invalid_client"), ("rfc", "invalid_client")],
)
def test_our_stub_refuses_a_wrong_secret(errors: Any, code: str) -> None:
    """Each of the three shapes of an error is a refusal of the proof, which may have been rotated."""
    with ApigeeStub(errors=errors) as stub:
        stub.app(KEY, "another")
        error = failure(asks(stub.token_url), secret=secret)

    assert (type(error), error.code, error.proof_rejected) == (SourceRefused, code, True)
    assert "client_secret" in str(error.hint)
    assert SECRET not in story(error)


def test_our_stub_refuses_what_is_not_approved(stub: ApigeeStub) -> None:
    """An app that is not approved is told from one whose secret is wrong."""
    stub.apps[KEY].approved = False
    error = failure(asks(stub.token_url), secret=secret)

    assert (type(error), error.proof_rejected) == (SourceRefused, False)
    assert error.code == "keymanagement.service.invalid_client-app_not_approved"
    assert "approving" in str(error.hint)


def test_our_stub_never_ends_a_token() -> None:
    """A policy whose tokens never expire is refused: nothing here lives for ever."""
    with ApigeeStub(expires_in="0") as stub:
        stub.app(KEY, SECRET)
        error = failure(asks(stub.token_url), secret=secret)

    assert (type(error), error.code) == (SourceFailed, "bad_lifetime")


@pytest.mark.parametrize(
    ("status", "code", "kind", "proof"),
    [
        (500, "oauth.v2.InvalidClientIdentifier", SourceRefused, True),
        (401, "steps.oauth.v2.InvalidClientIdentifier", SourceRefused, True),
        (401, "keymanagement.service.invalid_client-invalid_client_id", SourceRefused, True),
        (401, "oauth.v2.ApiKeyNotApproved", SourceRefused, False),
        (401, "keymanagement.service.DeveloperStatusNotActive", SourceRefused, False),
        (401, "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound", SourceRefused, False),
        (500, "steps.oauth.v2.FailedToResolveClientId", SourceRefused, False),
        (500, "steps.oauth.v2.UnSupportedGrantType", SourceRefused, False),
        (500, "steps.oauth.v2.MissingParameter", SourceRefused, False),
        (429, "policies.ratelimit.SpikeArrestViolation", SourceFailed, False),
        (500, "policies.ratelimit.QuotaViolation", SourceFailed, False),
        (403, "policies.ratelimit.QuotaViolation", SourceFailed, False),
        (503, "messaging.adaptors.http.flow.ServiceUnavailable", SourceFailed, False),
        (404, "messaging.adaptors.http.flow.ApplicationNotFound", SourceRefused, False),
    ],
)
def test_faults_as_documented(status: int, code: str, kind: type[MintError], proof: bool) -> None:
    """A fault that no second try mends is a refusal, whatever its status; limits and outages may pass."""
    fault = {"fault": {"faultstring": CANARY, "detail": {"errorcode": code}}}
    with Rogue(reply(json.dumps(fault).encode(), status=status, X_Request_Id="rrt-0123456789")) as server:
        error = failure(asks(server.url), secret=secret)

    assert (type(error), error.code, error.proof_rejected) == (kind, code, proof)
    assert (error.request_id, f"answered {status} {code}" in error.message) == ("rrt-0123456789", True)
    assert bool(error.hint) == ("messaging" not in code)
    assert CANARY not in story(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        {"fault": {"faultstring": CANARY}},
        {"fault": CANARY},
        {"fault": {"faultstring": CANARY, "detail": CANARY}},
        {"fault": {"faultstring": CANARY, "detail": {"errorcode": f"{CANARY} {CANARY}"}}},
        {"ErrorCode": f"<{CANARY}>", "Error": CANARY},
    ],
)
def test_faults_without_a_code(body: dict[str, Any]) -> None:
    """Of a fault only a code is kept; its text, which may repeat what was sent, is not."""
    with Rogue(reply(json.dumps(body).encode(), status=401)) as server:
        error = failure(asks(server.url), secret=secret)

    assert (type(error), error.code) == (SourceRefused, "HTTP 401")
    assert CANARY not in story(error)


@pytest.mark.parametrize("place", ["errorcode", "ErrorCode", "error"])
def test_echo_is_not_told(place: str) -> None:
    """An answer that repeats the secret, where its code should stand, does not get it into an error."""
    said = {"fault": {"detail": {"errorcode": SECRET}}} if place == "errorcode" else {place: SECRET}
    with Rogue(reply(json.dumps(said).encode(), status=400)) as server:
        error = failure(asks(server.url), secret=secret)

    assert (error.code, SECRET in story(error)) == ("HTTP 400", False)


def test_sixteen_threads_ask_our_stub_once(stub: ApigeeStub) -> None:
    """Sixteen threads that need one token make one request."""
    source = asks(stub.token_url)
    clock = SystemClock()
    cache = LeaseCache(clock, Random(1), lambda: None)

    def lookup() -> str:
        def mint(_: Any) -> Any:
            return source.mint(given(source, secret=secret))

        return cache.acquire(LeaseKey("a" * 64), mint, deadline=Deadline(clock, 10), hold=source.hold).lease.lease_id

    with threads(16, lookup) as leases:
        pass

    assert (len(set(leases)), len(stub.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({}, []),
        ({"grant_type_in": "query", "scopes": ["a", "{dag_id}"], "ttl": "5m", "attribution": "task"}, []),
        ({"client_id": "a:b"}, ["client_id: holds a colon"]),
        ({"client_secret": SECRET}, ["source.client_secret: a secret goes by reference"]),
        ({"grant_type_in": "header"}, ["source.grant_type_in: expected 'body' or 'query'"]),
        ({"token_url": "https://api.example.com/token?grant_type=client_credentials"}, ["source.token_url: expected"]),
        ({"scopes": ["a b"]}, ["source.scopes[0]: expected one scope"]),
    ],
)
def test_configurations(fields: dict[str, Any], starts: list[str]) -> None:
    """What cannot work is told by its field when the file is loaded."""
    base = {"token_url": "https://api.example.com/oauth/token", "client_id": KEY, "client_secret": {"secret": "app"}}
    found = Problems()
    source = struct(Apigee, {**base, **fields}, "source", found)
    found += source.problems() if source else []

    assert [problem[: len(start)] for problem, start in zip(found, starts, strict=True)] == starts


def test_attribution_is_none_and_can_be_finer() -> None:
    """Apigee's policy names no caller, so all share a token unless the configuration says otherwise."""
    caller = Caller(process="task", dag_id="d", task_id="t", run_id="r")
    url = "https://api.example.com/oauth/token"

    assert asks(url).stamp(caller) == {}
    assert asks(url, attribution="dag").stamp(caller) == {"dag_id": "d"}
    assert asks(url).endpoints() == [url]
