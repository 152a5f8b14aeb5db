"""Database users of Redshift: what is asked for them, and whose password is believed to have come."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.credential import BasicCredential
from airflow_ephemeral_secrets.errors import SourceFailed
from airflow_ephemeral_secrets.sources.aws_redshift import AwsRedshift
from tests.peers import aws_services as answers
from tests.peers.aws_services import PASSWORD, USER
from tests.peers.rogue import Rogue, reply
from tests.peers.sts import REQUEST_ID
from tests.sources.asking import ask, failure
from tests.sources.conformance import SourceConformance
from tests.sources.derived import REGION, in_vain, problems, redshift, redshift_iam, serving, workgroup

CLUSTER = {"Version": "2012-12-01", "ClusterIdentifier": "warehouse", "DbName": "sales", "DurationSeconds": "900"}


@pytest.fixture
def aws(worker: pytest.MonkeyPatch) -> Iterator[Rogue]:
    yield from serving(worker)


class TestRedshift(SourceConformance):
    @pytest.fixture(params=[redshift, redshift_iam, workgroup])
    def source(self, aws: Rogue, request: pytest.FixtureRequest) -> AwsRedshift:
        source: AwsRedshift = request.param(endpoint_url=aws.url)
        return source

    @pytest.fixture
    def asked(self, aws: Rogue) -> Callable[[], int]:
        return lambda: aws.connections


def test_cluster_is_asked_for_the_user(aws: Rogue) -> None:
    """The user, the database and the duration are those that are configured; none is created, no group is joined."""
    ask(redshift())

    assert aws.requests[0].form == {"Action": "GetClusterCredentials", "DbUser": "loader", **CLUSTER}


def test_cluster_is_asked_for_the_user_of_the_identity(aws: Rogue) -> None:
    """Where no user is named, the cluster has one for the IAM identity."""
    credential = ask(redshift_iam(ttl="20m")).credential

    wanted = {"Action": "GetClusterCredentialsWithIAM", **CLUSTER, "DurationSeconds": "1200"}
    assert aws.requests[0].form == wanted
    assert credential.principal.endswith(" as IAMR:x")


def test_workgroup_is_asked(aws: Rogue) -> None:
    """Redshift Serverless is another service, with words of its own."""
    ask(workgroup(ttl="1h"))

    assert json.loads(aws.requests[0].body) == {
        "workgroupName": "warehouse",
        "dbName": "sales",
        "durationSeconds": 3600,
    }
    assert f"/{REGION}/redshift-serverless/aws4_request" in aws.requests[0].headers["Authorization"]


@pytest.mark.parametrize("make", [redshift, workgroup])
def test_takes_the_login_of_redshift(aws: Rogue, make: Callable[[], AwsRedshift]) -> None:
    """The login is the one that Redshift names, with its prefix, and so is the principal."""
    credential = ask(make()).credential

    assert isinstance(credential, BasicCredential)
    assert (credential.username, credential.password, credential.request_id) == (USER, PASSWORD, REQUEST_ID)
    assert credential.principal.endswith(f"(env) as {USER}")


@pytest.mark.usefixtures("worker")
def test_user_of_redshift_is_named_by_the_caller() -> None:
    """Each Dag may have a database user of its own; Redshift folds its case."""
    with Rogue(reply(answers.redshift(DbUser="IAM:etl_orders"))) as aws:
        source = redshift(username="etl_{dag_id}", endpoint_url=aws.url)
        credential = ask(source, caller=Caller(process="task", dag_id="Orders")).credential
        assert aws.requests[0].form["DbUser"] == "etl_Orders"
        assert failure(source, caller=Caller(process="task", dag_id="a:b")).code == "bad_username"
        assert aws.connections == 1

    assert isinstance(credential, BasicCredential)
    assert credential.username == "IAM:etl_orders"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("user", ["IAM:admin", "admin", "IAM:loader:admin", "", "IAM:loader\nforged", "x" * 201])
def test_answers_for_another_user(user: str) -> None:
    """One user was asked for, so the password is that one's; the audit names nobody else."""
    error = in_vain(redshift, answers.redshift(DbUser=user))

    assert (type(error), error.code) == (SourceFailed, "bad_answer")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cluster": "c"}, []),
        ({"cluster": "c", "username": "u"}, []),
        ({"workgroup": "wwww"}, []),
        ({}, ["cluster: required, or else a workgroup, and not both"]),
        ({"cluster": "c", "workgroup": "wwww"}, ["cluster: required, or else a workgroup, and not both"]),
        (
            {"workgroup": "wwww", "username": "u"},
            ["username: does not go with workgroup, which names the user after the IAM identity"],
        ),
    ],
    ids=str,
)
def test_redshift_is_a_cluster_or_a_workgroup(fields: dict[str, str], expected: list[str]) -> None:
    """What decides whom to ask is whole and not in doubt, at load."""
    assert problems(AwsRedshift, database="sales", **fields) == expected
