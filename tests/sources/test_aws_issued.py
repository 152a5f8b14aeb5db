"""Tokens that services of AWS issue, of every kind: which answers are believed, and how a refusal reads."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.sources.aws_derived import AwsDerived
from airflow_ephemeral_secrets.sources.aws_redshift import AwsRedshift
from airflow_ephemeral_secrets.sources.aws_repositories import AwsCodeArtifact, AwsEcr
from tests.peers import aws_services as answers
from tests.peers.aws_services import REGISTRY, at
from tests.peers.rogue import Rogue, deaf, reply
from tests.peers.sts import REQUEST_ID, refused, refused_in_json
from tests.sources.asking import failure, given, story
from tests.sources.derived import CANARY, KINDS, in_vain, problems

ISSUED = {name: kind for name, kind in KINDS.items() if kind.asks}
issued = pytest.mark.parametrize("name", ISSUED)


# What is believed


WORDS = [None, "", f"{CANARY}\r\nX:y", f"{CANARY} b", f"{CANARY}é"]
MEMBERS = {
    "redshift": ("DbUser", "DbPassword", "Expiration"),
    "redshift_iam": ("DbUser", "DbPassword", "Expiration"),
    "workgroup": ("dbUser", "dbPassword", "expiration"),
    "ecr": ("authorizationToken", "expiresAt"),
    "codeartifact": ("authorizationToken", "expiration"),
}


def answer(name: str, **members: Any) -> bytes:
    """Answer as the service of a kind does."""
    if name == "redshift_iam":
        return answers.redshift("GetClusterCredentialsWithIAM", **members)
    return getattr(answers, {"workgroup": "serverless"}.get(name, name))(**members)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("value", WORDS, ids=repr)
@pytest.mark.parametrize(
    ("name", "member"), [(name, member) for name, members in MEMBERS.items() for member in members[:-1]]
)
def test_issues_no_word(name: str, member: str, value: str | None) -> None:
    """A part that is missing or that no header could carry is not a token, and is not told."""
    xml = value and value.replace("\r\n", "&#13;&#10;")
    error = in_vain(ISSUED[name].make, answer(name, **{member: xml if name.startswith("redshift") else value}))

    assert (type(error), error.code) == (SourceFailed, "bad_answer")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("value", [[CANARY], {CANARY: CANARY}, 17, True], ids=repr)
@pytest.mark.parametrize(
    ("name", "member"),
    [(name, member) for name in ("workgroup", "ecr", "codeartifact") for member in MEMBERS[name][:-1]],
)
def test_issues_another_type(name: str, member: str, value: Any) -> None:
    """What stands in the place of a token and is no text is not a token."""
    error = in_vain(ISSUED[name].make, answer(name, **{member: value}))

    assert (type(error), error.code) == (SourceFailed, "bad_answer")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "bad_answer"),
        ("", "bad_answer"),
        (CANARY, "bad_answer"),
        ("NaN", "bad_answer"),
        ("1e400", "bad_answer"),
        ("99999999999999999999", "bad_answer"),
        ("2015-01-01T00:00:00Z", "bad_lifetime"),
        ("-1", "bad_lifetime"),
        ("0", "bad_lifetime"),
        ("9999-12-31T23:59:59Z", "bad_lifetime"),
    ],
)
@issued
def test_issues_for_no_time(name: str, value: str | None, code: str) -> None:
    """An end that is missing, past or absurdly far is not believed: either clock is wrong, or it is not AWS."""
    error = in_vain(ISSUED[name].make, answer(name, **{MEMBERS[name][-1]: value}))

    assert (type(error), error.code) == (SourceFailed, code)


LIVES = {"redshift": 900, "redshift_iam": 900, "workgroup": 900, "ecr": 43_200, "codeartifact": 3_600}


@pytest.mark.usefixtures("worker")
@issued
def test_ends_when_it_is_said_to(name: str) -> None:
    """An end before what was asked for counts; one that is a little later, by other clocks, is cut to that."""
    ends = {}
    for seconds in (600, LIVES[name] + 600):
        with Rogue(reply(answer(name, **{MEMBERS[name][-1]: at(seconds)}))) as aws:
            source = ISSUED[name].make(endpoint_url=aws.url)
            made = given(source)
            end = source.mint(made).expires_at
            assert end is not None
            ends[seconds] = end - made.asked.wall
    with Rogue(reply(answer(name, **{MEMBERS[name][-1]: at(LIVES[name] + 1_000)}))) as aws:
        assert failure(ISSUED[name].make(endpoint_url=aws.url)).code == "bad_lifetime"

    assert 590 < ends[600] <= 602
    assert ends[LIVES[name] + 600] == ISSUED[name].make().hold


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    "body",
    [b"", CANARY.encode(), f"<a>{CANARY}</a>".encode(), f'["{CANARY}"]'.encode(), f'{{"{CANARY}": 1}}'.encode()],
)
@issued
def test_answers_with_nonsense(name: str, body: bytes) -> None:
    """A success that is no answer to the question is a failure that is named so."""
    error = in_vain(ISSUED[name].make, body)

    assert (type(error), error.code) == (SourceFailed, "bad_answer")


# What is refused


PERMISSIONS = {
    "redshift": "redshift:GetClusterCredentials",
    "redshift_iam": "redshift:GetClusterCredentialsWithIAM",
    "workgroup": "redshift-serverless:GetCredentials",
    "ecr": "ecr:GetAuthorizationToken",
    "codeartifact": "codeartifact:GetAuthorizationToken and sts:GetServiceBearerToken",
}


def no(name: str, code: str, status: int) -> tuple[MintError, int]:
    """Have a service say no; give the error, and how often it was asked."""
    say = refused if name.startswith("redshift") else refused_in_json
    with Rogue(reply(say(code, CANARY), status=status, x_amzn_RequestId=REQUEST_ID)) as aws:
        error = failure(ISSUED[name].make(endpoint_url=aws.url))
    assert CANARY not in story(error)
    return error, aws.connections


@pytest.mark.usefixtures("worker")
@issued
def test_refusal_names_what_is_missing(name: str) -> None:
    """Whoever reads that it was denied reads which permission, of whom, is missing."""
    error, _ = no(name, "AccessDenied" if name.startswith("redshift") else "AccessDeniedException", 403)

    assert isinstance(error, SourceRefused)
    assert error.request_id == REQUEST_ID
    assert error.message.startswith(PERMISSIONS[name].partition(" ")[0] + " of ")
    assert str(error.hint).endswith(f" (env) {PERMISSIONS[name]}")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("name", "code", "status", "suspect"),
    [
        ("redshift", "ClusterNotFound", 404, "cluster"),
        ("redshift_iam", "ClusterNotFound", 404, "cluster"),
        ("workgroup", "ResourceNotFoundException", 400, "workgroup"),
        ("workgroup", "ValidationException", 400, "workgroup"),
        ("ecr", "InvalidParameterException", 400, "registry"),
        ("codeartifact", "ResourceNotFoundException", 404, "domain"),
        ("codeartifact", "ExpiredTokenException", 403, "session"),
    ],
)
def test_refusal_names_what_is_unknown(name: str, code: str, status: int, suspect: str) -> None:
    """A hint is about the service that said no: no session of STS, no secret and no token file."""
    error, _ = no(name, code, status)

    assert (type(error), error.code) == (SourceRefused, code)
    assert suspect in str(error.hint)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("ServerException", 500), ("Unavailable", 503)])
@issued
def test_failure_that_may_pass_is_met_once(name: str, code: str, status: int) -> None:
    """A source does not retry: whoever holds the lease does."""
    error, times = no(name, code, status)

    assert (type(error), error.code, times) == (SourceFailed, code, 1)


@pytest.mark.usefixtures("worker")
@issued
def test_service_that_hangs(name: str) -> None:
    """The deadline of the lookup bounds the second request as it bounds the first."""
    with Rogue(deaf) as aws:
        error = failure(ISSUED[name].make(endpoint_url=aws.url), seconds=0.3)
        assert aws.deserted(6)

    assert (type(error), error.code) == (SourceFailed, "timeout")


# The configuration


@pytest.mark.parametrize(
    ("kind", "fields", "good", "bad"),
    [
        (AwsRedshift, {"database": "d"}, {"cluster": "a-b1"}, {"cluster": "-a"}),
        (AwsRedshift, {"database": "d"}, {"cluster": "a" * 63}, {"cluster": "a" * 64}),
        (AwsRedshift, {"database": "d"}, {"cluster": "a"}, {"cluster": "a\n"}),
        (AwsRedshift, {"database": "d"}, {"workgroup": "a-1"}, {"workgroup": "A-1"}),
        (AwsRedshift, {"cluster": "c"}, {"database": "d"}, {"database": "d/e"}),
        (AwsRedshift, {"cluster": "c"}, {"database": "d" * 64}, {"database": "d" * 65}),
        (AwsEcr, {}, {}, {"registry": "1234"}),
        (AwsEcr, {}, {"registry": REGISTRY}, {"registry": f"{REGISTRY}\n"}),
        (AwsCodeArtifact, {"owner": REGISTRY}, {"domain": "acme"}, {"domain": "a"}),
        (AwsCodeArtifact, {"owner": REGISTRY}, {"domain": "a" * 50}, {"domain": "a" * 51}),
        (AwsCodeArtifact, {"domain": "acme"}, {"owner": REGISTRY}, {"owner": "acme"}),
    ],
    ids=str,
)
def test_names_are_those_that_aws_takes(
    kind: type[AwsDerived], fields: dict[str, str], good: dict[str, str], bad: dict[str, str]
) -> None:
    """A name that AWS cannot have given is a problem at load."""
    assert problems(kind, **fields, **good) == []
    assert len(problems(kind, **fields, **bad)) == 1


BOTOCORE = botocore.session.get_session()


@pytest.mark.parametrize(
    ("service", "operation", "member", "bounds"),
    [
        ("codeartifact", "GetAuthorizationToken", "durationSeconds", (0, 43_200)),
        ("codeartifact", "GetAuthorizationToken", "domain", (2, 50)),
        ("redshift-serverless", "GetCredentials", "workgroupName", (3, 64)),
    ],
)
def test_bounds_are_those_of_aws(service: str, operation: str, member: str, bounds: tuple[int, int]) -> None:
    """AWS's own model still has the bounds that are written down here."""
    shape = BOTOCORE.get_service_model(service).operation_model(operation).input_shape.members[member]

    assert (shape.metadata["min"], shape.metadata["max"]) == bounds
