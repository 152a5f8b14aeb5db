"""Sources of kind ``oauth2``: what they ask for, what they accept, and what their configuration forbids."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest
from msgspec import Struct

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import AccessDenied, MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import LeaseKey
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.sources import discovery
from airflow_ephemeral_secrets.sources.base import Minting, Network, SecretReference
from airflow_ephemeral_secrets.sources.files import read_text
from airflow_ephemeral_secrets.sources.oauth2 import OAuth2
from tests.leases.made import threads
from tests.peers.authlib_server import AuthlibServer, Granted
from tests.peers.client import post
from tests.peers.mitm import Certificate, MitmProxy
from tests.peers.oidc_provider import OidcProvider, public_jwks
from tests.peers.openbao import OpenBao, Refused
from tests.peers.rogue import Peer, Rogue, Script, reply, response
from tests.resolving import CALLER, resolver
from tests.sources.asking import ask, failure, given, story
from tests.sources.conformance import SourceConformance
from tests.sources.oauth import AWKWARD, EC, RSA, asks, body, named, pem, problems, reader

API, OTHER = "https://orders.example.com", "https://crm.example.com"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN = "urn:ietf:params:oauth:token-type:"
SECRET = "a-secret-of-the-client"
CANARY = "canary-of-a-token-endpoint"


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    discovery._held.clear()
    yield
    discovery._held.clear()


class Client(Struct, frozen=True):
    """A client of the certified provider."""

    oidc: OidcProvider
    client_id: str

    def asks(self, **fields: Any) -> OAuth2:
        return asks(**{"issuer": self.oidc.https, "client_id": self.client_id, "client_secret": "proof", **fields})

    def given(self, **secrets: str) -> dict[str, Any]:
        return {"secret": reader(proof=AWKWARD, **secrets), "network": Network(ca_file=self.oidc.ca_file)}

    def granted(self, source: OAuth2, **secrets: str) -> dict[str, Any]:
        """Mint, and verify the token for the resource."""
        credential = ask(source, **self.given(**secrets)).credential
        assert isinstance(credential, BearerToken)
        return self.oidc.verified(credential.token, API)


@pytest.fixture
def client(oidc: OidcProvider) -> Client:
    client_id = named()
    oidc.client(client_id, client_secret=AWKWARD)
    oidc.resource(API, scopes=["read", "write"], ttl=120)
    return Client(oidc, client_id)


# What it promises


class TestClientCredentials(SourceConformance):
    @pytest.fixture
    def server(self) -> Iterator[Rogue]:
        def script(peer: Peer) -> None:
            request = peer.read()
            issuer = f"http://{request.headers['Host']}"
            metadata = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
            peer.send(response(json.dumps(metadata).encode() if request.method == "GET" else body()))

        with Rogue(script) as server:
            yield server

    @pytest.fixture
    def secret(self) -> Callable[[SecretName], str]:
        return reader(proof=SECRET, key=pem(EC), subject="a.subject.token")

    @pytest.fixture
    def source(self, server: Rogue) -> OAuth2:
        return asks(token_url=f"{server.url}/token", client_secret="proof", scopes=["a"], resource=[API, OTHER])

    @pytest.fixture
    def asked(self, server: Rogue) -> Callable[[], int]:
        return lambda: sum(request.method == "POST" for request in server.requests)


class TestDiscovered(TestClientCredentials):
    @pytest.fixture
    def source(self, server: Rogue) -> OAuth2:
        return asks(issuer=server.url, client_auth="private_key_jwt", private_key="key", key_id="k1")


class TestTokenExchange(TestClientCredentials):
    @pytest.fixture
    def source(self, server: Rogue) -> OAuth2:
        return asks(
            token_url=server.url, grant="token_exchange", client_auth="none", subject_token="subject", audience="x"
        )


class TestJwtBearer(TestClientCredentials):
    @pytest.fixture
    def source(self, server: Rogue) -> OAuth2:
        return asks(token_url=server.url, grant="jwt_bearer", client_auth="none", private_key="key", subject="u")


# What a certified provider grants


def test_token_is_for_what_was_asked(client: Client, openbao: OpenBao) -> None:
    """The token is for the resource, with the scopes, and an independent verifier takes it for nothing else."""
    source = client.asks(resource=API, scopes=["read"])

    lease = ask(source, **client.given())
    credential = lease.credential

    assert isinstance(credential, BearerToken)
    assert (credential.principal, credential.scope, lease.life <= 120) == (client.client_id, "read", True)
    keys = f"{client.oidc.http}/jwks"
    right = openbao.verifier(issuer=client.oidc.https, audience=API, jwks_url=keys)
    assert right.verify(credential.token)["client_id"] == client.client_id
    with pytest.raises(Refused, match="audience"):
        openbao.verifier(issuer=client.oidc.https, audience=OTHER, jwks_url=keys).verify(credential.token)


def test_facts_about_the_caller_reach_the_provider(client: Client) -> None:
    """A resource of each Dag's own is asked for by a template, and granted by its name."""
    client.oidc.resource("https://api.example.com/orders_sync", scopes=["dag.orders_sync"])
    source = client.asks(resource="https://api.example.com/{dag_id}", scopes=["dag.{dag_id}"])
    caller = Caller(process="task", dag_id="orders_sync", task_id="t", run_id="r")

    token = ask(source, caller=caller, **client.given()).credential.secrets()[0]

    claims = client.oidc.verified(token, "https://api.example.com/orders_sync")
    assert claims["scope"] == "dag.orders_sync"


def test_unknown_resource_is_refused(client: Client) -> None:
    """The provider's word for a resource it does not know is kept (RFC 8707)."""
    error = failure(client.asks(resource="https://elsewhere.example.com"), **client.given())

    assert (type(error), error.code) == (SourceRefused, "invalid_target")
    assert "resource" in str(error.hint)


def test_narrowed_scope_is_refused(client: Client) -> None:
    """A provider that grants less than asked for is not believed, unless that scope is optional."""
    error = failure(client.asks(resource=API, scopes=["read", "admin"]), **client.given())
    assert (type(error), error.code) == (SourceRefused, "scope_narrowed")
    assert error.message.endswith("granted without admin")

    source = client.asks(resource=API, scopes=["read", "admin"], scopes_optional=["admin"])
    assert client.granted(source)["scope"] == "read"


def test_assertions_are_made_for_once(oidc: OidcProvider, client: Client) -> None:
    """Two mints pass at a provider that refuses what it has seen before."""
    client_id = named()
    oidc.client(client_id, jwks=public_jwks(RSA))
    source = client.asks(client_id=client_id, client_auth="private_key_jwt", private_key="key", resource=API)
    source = OAuth2(**{name: getattr(source, name) for name in source.__struct_fields__ if name != "client_secret"})

    for _ in range(2):
        assert client.granted(source, key=pem(RSA))["client_id"] == client_id
    replayed = {name: str(value) for name, value in oidc.requests_of(client_id)[-1].form.items()}

    assert post(f"{oidc.https}/token", replayed, ca_file=oidc.ca_file).status == 401
    claims = jwt.decode(replayed["client_assertion"], options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["aud"]) == (client_id, client_id, f"{oidc.https}/token")


def test_exchanges_a_projected_token(client: Client, tmp_path: Path) -> None:
    """A token that a platform projects into a file is exchanged as it stands there at each mint (RFC 8693)."""
    cluster = f"https://{client.client_id[-12:]}.cluster.example.com"
    client.oidc.trust(cluster, public_jwks(EC), audience=client.oidc.https)
    path = tmp_path / "token"
    source = client.asks(grant="token_exchange", subject_token="projected", audience=API, scopes=["read"])
    minting = client.given()
    known = minting["secret"]
    minting["secret"] = lambda name: read_text(str(path), 9_999, "f") if name.secret == "projected" else known(name)

    subjects = []
    for number in range(2):
        now = int(SystemClock().now().wall)
        claims = {"iss": cluster, "aud": client.oidc.https, "sub": f"pod-{number}", "iat": now, "exp": now + 60}
        path.write_text(jwt.encode(claims, EC, "ES256") + "\n")
        token = ask(source, **minting).credential.secrets()[0]
        subjects.append(client.oidc.verified(token, API)["sub"])

    assert subjects == ["pod-0", "pod-1"]
    form = client.oidc.requests_of(client.client_id)[-1].form
    assert (form["requested_token_type"], form["subject_token_type"]) == (f"{TOKEN}access_token", f"{TOKEN}jwt")


def test_rejected_subject_token_may_have_been_replaced(client: Client) -> None:
    """A subject token that the provider refuses is worth reading anew: whoever projects it replaces it."""
    source = client.asks(grant="token_exchange", subject_token="projected", audience=API)

    error = failure(source, **client.given(projected="not.a.token"))

    assert (type(error), error.code, error.proof_rejected) == (SourceRefused, "invalid_request", True)


@pytest.mark.parametrize("certificate", [Certificate.EXPIRED, Certificate.UNKNOWN])
def test_proves_itself_to_nobody_with_a_wrong_certificate(
    client: Client, mitm: Callable[..., MitmProxy], certificate: Certificate
) -> None:
    """Whoever cannot prove to be the token endpoint is sent nothing, least of all the client's secret."""
    source = asks(token_url=f"{mitm(certificate).url}/token", client_id=client.client_id, client_secret="proof")

    error = failure(source, **client.given())

    assert (type(error), error.code) == (SourceFailed, "tls")
    assert client.oidc.requests_of(client.client_id) == []


@pytest.mark.parametrize(
    ("fault", "code"), [({"status": 503}, "HTTP 503"), ({"cut": 20}, "unreachable"), ({"kill": True}, "unreachable")]
)
def test_faults_on_the_way(client: Client, mitm: Callable[..., MitmProxy], fault: dict[str, Any], code: str) -> None:
    """What a broken proxy makes of a good answer may pass by itself, and is never half a token."""
    proxy = mitm()
    proxy.fault = fault
    source = asks(token_url=f"{proxy.url}/token", client_id=client.client_id, client_secret="proof")

    error = failure(source, **client.given())

    assert (type(error), error.code) == (SourceFailed, code)


# What another server grants for an assertion


@pytest.mark.parametrize(("subject", "expected"), [(None, "robot@example.com"), ("somebody", "somebody")])
def test_signs_the_assertion_of_a_grant(authlib: AuthlibServer, subject: str | None, expected: str) -> None:
    """``jwt_bearer`` signs what the server verifies (RFC 7523); it is about the client unless a subject is named."""
    authlib.issuer("robot@example.com", EC.public_key(), scopes=["read", "write"])
    source = asks(
        token_url=authlib.token_url,
        client_id="robot@example.com",
        grant="jwt_bearer",
        client_auth="none",
        private_key="key",
        scopes=["read"],
        subject=subject,
    )

    lease = ask(source, secret=reader(key=pem(EC)), network=Network(ca_file=authlib.ca_file))

    assert authlib.granted[lease.credential.secrets()[0]] == Granted("robot@example.com", expected, "read")


def test_presents_a_ready_assertion(authlib: AuthlibServer) -> None:
    """An assertion that somebody else signed goes as it is; once it has expired it is worth reading anew."""
    authlib.issuer("signer@example.com", EC.public_key(), scopes=["read"])
    now = int(SystemClock().now().wall)
    claims = {"iss": "signer@example.com", "aud": authlib.token_url, "sub": "somebody", "iat": now - 7_200}
    live, dead = (jwt.encode({**claims, "exp": now + life}, EC, "ES256") for life in (60, -3_600))
    source = asks(token_url=authlib.token_url, grant="jwt_bearer", client_auth="none", assertion="ready")
    network = Network(ca_file=authlib.ca_file)

    lease = ask(source, secret=reader(ready=live), network=network)
    error = failure(source, secret=reader(ready=dead), network=network)

    assert authlib.granted[lease.credential.secrets()[0]].subject == "somebody"
    assert (type(error), error.code, error.proof_rejected) == (SourceRefused, "invalid_grant", True)
    assert dead not in story(error)


# What goes over the wire


def sent(minting: dict[str, Any] | None = None, **fields: Any) -> list[tuple[str, str]]:
    """List the fields of the request that a source sends, in order and with repetitions."""
    from urllib.parse import parse_qsl

    with Rogue(reply(body())) as server:
        ask(asks(token_url=f"{server.url}/token", client_secret="proof", **fields), secret=reader(proof=SECRET))
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/token")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Accept"] == "application/json"
    return parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"scopes": ["a", "b:c/d.e"]}, [("scope", "a b:c/d.e")]),
        ({"audience": "orders"}, [("audience", "orders")]),
        ({"resource": API}, [("resource", API)]),
        ({"resource": [API, OTHER]}, [("resource", API), ("resource", OTHER)]),
        ({"audience": "x", "resource": API}, [("audience", "x"), ("resource", API)]),
        ({"extra_params": {"organization": "org 1&x=y"}}, [("organization", "org 1&x=y")]),
        ({"extra_params": {"tag": "{dag_id}.{task_id}"}, "scopes": ["{dag_id}"]}, [("scope", "a_dag")]),
    ],
)
def test_sends_what_is_configured_and_no_more(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Scope, audience and resource are kept apart, and a parameter that is not configured is not sent."""
    more = [("tag", "a_dag.a_task")] if "tag" in fields.get("extra_params", {}) else []

    assert sent(**fields) == [("grant_type", "client_credentials"), *expected, *more]


@pytest.mark.parametrize("fields", [{"scopes": ["{dag_id}"]}, {"resource": ["https://x/{dag_id}"]}])
def test_unsafe_fact_is_refused(fields: dict[str, Any]) -> None:
    """A Dag cannot name itself into a second scope or another resource."""
    source = asks(token_url="https://idp.test", client_secret="proof", **fields)

    with pytest.raises(AccessDenied, match="characters"):
        source.facts(Caller(process="task", dag_id="a b/../c", task_id="t", run_id="r"))


# What is made of the answer


def refused(*scripts: Script, **fields: Any) -> MintError:
    """Ask a server in vain."""
    with Rogue(*scripts) as server:
        error = failure(
            asks(**{"token_url": server.url, "client_secret": "proof", **fields}),
            secret=reader(proof=SECRET, key=pem(EC), subject="a.subject.token"),
        )
    assert [hidden for hidden in (SECRET, CANARY, "a.subject.token") if hidden in story(error)] == []
    return error


@pytest.mark.parametrize(("issued", "fits"), [("access_token", True), ("id_token", False), ("saml2", False)])
def test_issues_an_access_token(issued: str, fits: bool) -> None:
    """An exchange that says that it issued something else is refused (RFC 8693 section 2.2.1)."""
    exchange: dict[str, Any] = {"grant": "token_exchange", "subject_token": "subject", "token_url": None}
    good = reply(body(issued_token_type=f"{TOKEN}{issued}", token_type="N_A"))
    with Rogue(good) as server:
        source = asks(**{**exchange, "token_url": server.url, "client_secret": "proof"})
        secret = reader(proof=SECRET, subject="a.subject.token")
        if fits:
            assert ask(source, secret=secret).credential.secrets()
        else:
            assert failure(source, secret=secret).code == "issued_token_type"


@pytest.mark.parametrize(
    ("error", "fields", "words"),
    [
        ("use_dpop_nonce", {}, "DPoP"),
        ("invalid_dpop_proof", {}, "DPoP"),
        ("invalid_client", {}, "client_secret"),
        ("invalid_client", {"client_auth": "private_key_jwt", "private_key": "key"}, "key_id"),
        ("access_denied", {}, "policies"),
        ("invalid_scope", {}, "scopes"),
    ],
)
def test_hints_at_the_likeliest_fixes(error: str, fields: dict[str, Any], words: str) -> None:
    """Each code that a server such as Okta's answers comes with what to look at first."""
    answer = json.dumps({"error": error, "error_description": CANARY}).encode()
    if "private_key" in fields:
        fields = {**fields, "client_secret": "proof"}
    found = refused(reply(answer, status=400, X_Okta_Request_Id="YlOktaRequestId1"), **fields)

    assert (type(found), found.code, found.request_id) == (SourceRefused, error, "YlOktaRequestId1")
    assert words in str(found.hint)


def test_certificate_is_hinted_at() -> None:
    """A refused certificate is told from a refused secret."""
    assert "certificate" in asks(client_auth="mtls")._codes.hints["invalid_client"]


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"X_Rate_Limit_Reset": "{soon}"}, 20, 30),
        ({"X_Rate_Limit_Reset": "{soon}", "Retry_After": "7"}, 7, 7),
        ({"X_Rate_Limit_Reset": "1000000000"}, 0, 0),
        ({"X_Rate_Limit_Reset": "soon"}, None, None),
        ({"X_Rate_Limit_Reset": "-1"}, None, None),
        ({}, None, None),
    ],
)
def test_waits_as_the_server_says(headers: dict[str, Any], low: float | None, high: float | None) -> None:
    """Too many requests: Okta says when to come back in epoch seconds, others in seconds from now."""
    soon = str(int(SystemClock().now().wall) + 30)
    told: dict[str, Any] = {name: value.format(soon=soon) for name, value in headers.items()}

    error = refused(reply(b'{"errorCode": "E0000047"}', status=429, **told))

    assert (type(error), error.code) == (SourceFailed, "E0000047")
    assert (error.retry_after is None) if low is None else (low <= (error.retry_after or 0.0) <= (high or 0.0))


def test_only_a_limit_is_waited_for() -> None:
    """What the header says of a limit means nothing beside another failure."""
    assert refused(reply(b"{}", status=503, X_Rate_Limit_Reset="1900000000")).retry_after is None


ALIKE = "a_secret_like_a_code"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, None),
        ({"client_auth": "basic_raw"}, None),
        ({"client_auth": "post"}, "client_secret"),
        ({"client_auth": "private_key_jwt", "private_key": "key", "client_secret": ""}, "client_assertion"),
        ({"grant": "token_exchange", "subject_token": "proof"}, "subject_token"),
        ({"grant": "jwt_bearer", "assertion": "proof"}, "assertion"),
        ({"grant": "jwt_bearer", "private_key": "key"}, "assertion"),
    ],
)
def test_echo_is_not_told(fields: dict[str, Any], field: str | None) -> None:
    """A server that repeats what it was sent, where its code should stand, does not get it into an error."""
    told = []

    def echo(peer: Peer) -> None:
        request = peer.read()
        told.append(request.form[field][:30] if field else ALIKE)
        said = {"error": told[0], "error_description": request.everything}
        peer.send(response(json.dumps(said).encode(), status=400))

    with Rogue(echo) as server:
        all_fields = {"token_url": server.url, "client_secret": "proof", **fields}
        source = asks(**{name: value for name, value in all_fields.items() if value})
        error = failure(source, secret=reader(proof=ALIKE, key=pem(EC)))

    assert error.code == "HTTP 400"
    assert told[0] not in story(error)


def test_missing_signer_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyJWT nothing is sent, and the extra that brings it is named; a secret needs neither."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    with Rogue(reply(body())) as server:
        signs = asks(token_url=server.url, client_auth="private_key_jwt", private_key="key")
        error = failure(signs, secret=reader(key=pem(EC)))
        assert server.connections == 0
        assert ask(asks(token_url=server.url, client_secret="proof"), secret=reader(proof=SECRET))

    assert (type(error), error.code) == (SourceUnavailable, "package_missing")
    assert "airflow-ephemeral-secrets[oauth2]" in str(error.hint)


READS = iter(("replaced", AWKWARD))


class Rotated(SecretReference, frozen=True, kw_only=True, tag="rotated"):
    """Holds an old secret at first."""

    def read(self, network: Network, deadline: Deadline) -> str:
        return next(READS)


def test_rotated_secret_is_read_anew_and_granted(client: Client) -> None:
    """A secret that was replaced meanwhile costs one refusal that nobody sees."""
    source = asks(token_url=f"{client.oidc.http}/token", client_id=client.client_id, client_secret="proof")

    found = resolver(source=source, references={"proof": Rotated()}).connection("api", CALLER)

    assert found is not None
    assert [request.error for request in client.oidc.requests_of(client.client_id)] == ["invalid_client", None]


def test_metadata_are_read_anew_after_a_failure() -> None:
    """A token endpoint that has moved is found at the next try."""
    places = iter(["/old", "/new", "/new"])

    def script(peer: Peer) -> None:
        request = peer.read()
        issuer = f"http://{request.headers['Host']}"
        if request.method == "GET":
            peer.send(response(json.dumps({"issuer": issuer, "token_endpoint": issuer + next(places)}).encode()))
        else:
            peer.send(response(body()) if request.target == "/new" else response(b"gone", status=410))

    with Rogue(script) as server:
        source = asks(issuer=server.url, client_secret="proof")
        failure(source, secret=reader(proof=SECRET))
        for _ in range(2):
            ask(source, secret=reader(proof=SECRET))

    assert [request.target for request in server.requests][1::2] == ["/old", "/new"]
    assert len(server.requests) == 5


def test_certificate_goes_to_the_alias() -> None:
    """A client that presents a certificate asks the endpoint for those that do."""
    from airflow_ephemeral_secrets.sources.discovery import Issuer

    source = asks(issuer="https://idp.test", client_auth="mtls", certificate="proof")
    made = given(source)
    discovery._held["https://idp.test", None, None] = (made.asked.boot, Issuer("https://a.test", "https://b.test"))

    assert source._token_endpoint(made) == "https://b.test"


def test_sixteen_threads_ask_once(client: Client) -> None:
    """Sixteen threads that need one token make one request of a certified provider."""
    source = client.asks(resource=API)
    clock = SystemClock()
    cache = LeaseCache(clock, Random(1), lambda: None)

    def lookup() -> str:
        deadline = Deadline(clock, 10)

        def mint(_: Any) -> BearerToken:
            made: Minting = given(source, **client.given())
            credential = source.mint(made)
            assert isinstance(credential, BearerToken)
            return credential

        return cache.acquire(LeaseKey("a" * 64), mint, deadline=deadline, hold=source.hold).lease.lease_id

    with threads(16, lookup) as leases:
        pass

    assert len(set(leases)) == 1
    assert len(client.oidc.requests_of(client.client_id)) == 1


# What the configuration forbids

BASE = {"token_url": "https://idp.test/token", "client_secret": {"secret": "s"}}
KEY, CERTIFICATE = {"private_key": {"secret": "k"}}, {"certificate": {"secret": "c"}}
BARE = {"token_url": "https://idp.test/token"}
SUBJECT = {"subject_token": {"secret": "t"}}


@pytest.mark.parametrize(
    "fields",
    [
        BASE,
        {**BASE, "client_auth": "basic_raw", "ttl": "5m"},
        {**BASE, "client_auth": "post", "attribution": "task", "extra_params": {"x": "{task_id}"}},
        {**BARE, **KEY, "client_auth": "private_key_jwt", "key_id": "k1"},
        {**BARE, **CERTIFICATE, "client_auth": "mtls"},
        {**BARE, **SUBJECT, "client_auth": "none", "grant": "token_exchange"},
        {**BASE, **SUBJECT, "grant": "token_exchange", "subject_token_type": f"{TOKEN}id_token"},
        {**BARE, **KEY, "client_auth": "none", "grant": "jwt_bearer", "subject": "{dag_id}@example.com"},
        {**BASE, **KEY, "grant": "jwt_bearer"},
        {**BARE, **KEY, "client_auth": "private_key_jwt", "grant": "jwt_bearer", "assertion": {"secret": "a"}},
        {**BARE, "client_auth": "none", "grant": "jwt_bearer", "assertion": {"secret": "a"}},
        {**BASE, "resource": "urn:example:api", "scopes": ["api://x/.default"], "scopes_optional": []},
        {"issuer": "http://localhost:8080/realms/a", "client_secret": {"secret": "s"}},
    ],
)
def test_configurations_that_work(fields: dict[str, Any]) -> None:
    """What can work has no problems."""
    assert problems(**fields) == []


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({"client_secret": {"secret": "s"}}, ["issuer: required"]),
        ({**BASE, "issuer": "https://idp.test"}, ["token_url: either"]),
        ({**BARE, "token_url": "http://127.0.0.1/t", **CERTIFICATE, "client_auth": "mtls"}, ["token_url: client_auth"]),
        (BARE, ["client_secret: required"]),
        ({**BARE, "client_auth": "post"}, ["client_secret: required"]),
        ({**BARE, **KEY}, ["client_secret: required", "private_key: not used"]),
        ({**BASE, **KEY}, ["private_key: not used"]),
        ({**BASE, **CERTIFICATE}, ["certificate: not used"]),
        ({**BASE, "client_auth": "none"}, ["client_secret: not used"]),
        ({**BASE, "client_auth": "mtls"}, ["client_secret: not used", "certificate: required"]),
        ({**BASE, "client_auth": "private_key_jwt"}, ["client_secret: not used", "private_key: required"]),
        ({**BASE, "key_id": "k"}, ["key_id: goes with"]),
        ({**BASE, "client_id": "a:b", "client_auth": "basic_raw"}, ["client_id: holds a colon"]),
        ({**BASE, "grant": "token_exchange"}, ["subject_token: required"]),
        ({**BASE, **SUBJECT}, ["subject_token: goes with"]),
        ({**BASE, "subject_token_type": f"{TOKEN}id_token"}, ["subject_token_type: goes with"]),
        ({**BASE, "grant": "jwt_bearer"}, ["assertion: required"]),
        ({**BASE, "assertion": {"secret": "a"}}, ["assertion: goes with"]),
        ({**BASE, **KEY, "grant": "jwt_bearer", "assertion": {"secret": "a"}}, ["private_key: not used"]),
        ({**BASE, "subject": "u"}, ["subject: goes with"]),
        ({**BASE, "grant": "jwt_bearer", "assertion": {"secret": "a"}, "subject": "u"}, ["subject: goes with"]),
        ({**BASE, "scopes": ["a"], "scopes_optional": ["b"]}, ["scopes_optional: 'b'"]),
        ({**BASE, "extra_params": {"scope": "a"}}, ["extra_params.scope: "]),
        ({**BASE, "extra_params": {"client_assertion": "a"}}, ["extra_params.client_assertion: "]),
        ({**BASE, "extra_params": {"password": "a"}}, ["extra_params.password: "]),
        ({**BASE, "token_url": "http://idp.test/token"}, ["source.token_url: expected an https URL"]),
        ({**BASE, "token_url": "https://idp.test/token\n"}, ["source.token_url: expected an https URL"]),
        ({"issuer": "https://u:p@idp.test", "client_secret": {"secret": "s"}}, ["source.issuer: expected an https"]),
        ({**BASE, "client_secret": "s3cret"}, ["source.client_secret: a secret goes by reference"]),
        ({**BASE, "client_id": "a\nb"}, ["source.client_id: expected an id"]),
        ({**BASE, "scopes": ["a b"]}, ["source.scopes[0]: expected one scope"]),
        ({**BASE, "scopes": ["{nobody}"]}, ["source.scopes[0]: expected one scope"]),
        ({**BASE, "scopes": "a"}, ["source.scopes: expected"]),
        ({**BASE, "audience": "a b"}, ["source.audience: expected an audience"]),
        ({**BASE, "resource": "orders"}, ["resource: expected an absolute URI"]),
        ({**BASE, "resource": "https://x/#f"}, ["resource: expected an absolute URI"]),
        ({**BASE, "resource": ["https://x", "y"]}, ["resource: expected an absolute URI"]),
        ({**BASE, "extra_params": {"a b": "c"}}, ["source.extra_params.a b: expected the name"]),
        ({**BASE, "client_auth": "client_secret_basic"}, ["source.client_auth: expected 'basic'"]),
    ],
)
def test_configurations_that_cannot_work(fields: dict[str, Any], starts: list[str]) -> None:
    """What cannot work is told by its field when the file is loaded, and nothing else is complained about."""
    found = problems(**fields)

    assert [problem[: len(start)] for problem, start in zip(found, starts, strict=True)] == starts


def test_where_it_asks() -> None:
    """What is checked for being reachable is the token endpoint, or the metadata that tell it."""
    assert asks(token_url="https://idp.test/t").endpoints() == ["https://idp.test/t"]
    assert asks(issuer="https://idp.test/a").endpoints() == ["https://idp.test/a/.well-known/openid-configuration"]


def test_attribution_is_none_and_can_be_finer() -> None:
    """OAuth names no caller, so all share a token unless the configuration says otherwise."""
    caller = Caller(process="task", dag_id="d", task_id="t", run_id="r")

    assert asks(token_url="https://idp.test").stamp(caller) == {}
    assert asks(token_url="https://idp.test", attribution="task").stamp(caller) == {
        "dag_id": "d",
        "run_id": "r",
        "task_id": "t",
    }
