"""Tokens for ECR and CodeArtifact: what is asked for them, and which are believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.errors import SourceFailed
from airflow_ephemeral_secrets.sources.aws_repositories import AwsCodeArtifact, AwsEcr
from tests.peers import aws_services as answers
from tests.peers.aws_services import PASSWORD, REGISTRY, TOKEN, authorization, login
from tests.peers.rogue import Rogue
from tests.peers.sts import REQUEST_ID
from tests.sources.asking import ROLE, ask
from tests.sources.conformance import SourceConformance
from tests.sources.derived import CANARY, codeartifact, ecr, in_vain, serving


@pytest.fixture
def aws(worker: pytest.MonkeyPatch) -> Iterator[Rogue]:
    yield from serving(worker)


class Conformance(SourceConformance):
    """A token that is issued takes one request, with the session that the worker has."""

    @pytest.fixture
    def asked(self, aws: Rogue) -> Callable[[], int]:
        return lambda: aws.connections


class TestEcr(Conformance):
    @pytest.fixture
    def source(self, aws: Rogue) -> AwsEcr:
        return ecr(endpoint_url=aws.url)


class TestCodeArtifact(Conformance):
    @pytest.fixture
    def source(self, aws: Rogue) -> AwsCodeArtifact:
        return codeartifact(endpoint_url=aws.url)


@pytest.mark.parametrize(("registry", "body"), [(REGISTRY, {"registryIds": [REGISTRY]}), (None, {})])
def test_registry_is_asked(aws: Rogue, registry: str | None, body: dict[str, Any]) -> None:
    """A registry is named where it is not the identity's own."""
    ask(ecr(registry=registry))

    assert json.loads(aws.requests[0].body) == body


@pytest.mark.parametrize(
    ("ttl", "left", "duration"),
    [
        ("15m", None, 900),
        ("12h", None, 43_200),
        ("12h", 3_000, 3_000),
        ("15m", 3_000, 900),
        ("1h", 950, 950),
        ("1h", 600, 0),
        ("15m", 850, 0),
    ],
)
def test_domain_is_asked_for_no_more_than_the_session_has(
    worker: pytest.MonkeyPatch, ttl: str, left: int | None, duration: int
) -> None:
    """CodeArtifact would outlive the session; it is asked for what is left, and as 0 where that is under 15m."""
    for aws in serving(worker, expiration=left):
        ask(codeartifact(ttl=ttl, role_arn=ROLE if left else None))
        query = dict(parse_qsl(urlsplit(aws.requests[-1].target).query))

    assert {**query, "duration": 0} == {"domain": "acme", "domain-owner": REGISTRY, "duration": 0}
    slow = 20 if left and duration not in (0, 900) else 0
    assert duration - (1 if slow else 0) <= int(query["duration"]) <= duration + slow


def test_takes_the_login_of_ecr(aws: Rogue) -> None:
    """docker logs in as AWS."""
    credential = ask(ecr()).credential

    assert isinstance(credential, BasicCredential)
    assert (credential.username, credential.password, credential.request_id) == ("AWS", PASSWORD, REQUEST_ID)


def test_takes_the_token_of_codeartifact(aws: Rogue) -> None:
    """The token is taken as it is."""
    credential = ask(codeartifact()).credential

    assert isinstance(credential, BearerToken)
    assert (credential.token, credential.request_id) == (TOKEN, REQUEST_ID)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    "token",
    [
        CANARY + "=",
        "====",
        login(CANARY),
        login(f"{CANARY}:{PASSWORD}"),
        login(f"AWS:{CANARY}\r\nX:y"),
        login("AWS:"),
        login("aws:x"),
        "QVdTOng\u00e9",
        "QVdT Ong=",
        "QVdT-Ong=",
        answers.b64encode(b"AWS:\xff\xfe").decode(),
    ],
)
def test_registry_password_is_none(token: str) -> None:
    """What does not decode to the login AWS and one word is no password."""
    error = in_vain(ecr, answers.ecr(authorizationToken=token))

    assert (type(error), error.code) == (SourceFailed, "bad_answer")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    "found",
    [
        [],
        [authorization(), authorization()],
        None,
        {},
        [None],
        [CANARY],
        [authorization(proxyEndpoint="https://999999999999.dkr.ecr.eu-west-1.amazonaws.com")],
        [authorization(proxyEndpoint=None)],
        [authorization(proxyEndpoint=17)],
    ],
    ids=["none", "two", "null", "an object", "of null", "of text", "another", "without", "a number"],
)
def test_answers_for_another_registry(found: Any) -> None:
    """One registry was asked for, so the answer is for that one."""
    error = in_vain(ecr, json.dumps({"authorizationData": found}).encode())

    assert (type(error), error.code) == (SourceFailed, "bad_answer")
