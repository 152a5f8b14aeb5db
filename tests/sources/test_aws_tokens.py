"""Tokens for RDS and EKS, signed here: held against AWS's published rules by verifiers that share no code with us."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import botocore.auth
import msgspec
import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, Cloud
from airflow_ephemeral_secrets.errors import SourceRefused
from airflow_ephemeral_secrets.sources.aws_tokens import AwsEks, AwsRdsToken
from tests.peers.eks import TokenRefusedError, authenticate, presigned
from tests.peers.rogue import Rogue, close
from tests.peers.sigv4 import UNSIGNED, SignatureRefusedError, verify
from tests.peers.sts import KEYS, PRINCIPAL, REQUEST_ID
from tests.sources.asking import ROLE, ask, failure, given, story
from tests.sources.conformance import SourceConformance
from tests.sources.conftest import KEY_ID, SECRET_KEY, SESSION
from tests.sources.derived import DATABASE, REGION, asked, eks, problems, rds, serving

SECRETS = {KEY_ID: SECRET_KEY, KEYS["AccessKeyId"]: KEYS["SecretAccessKey"]}
LAKE = f"arn:aws:iam::{ACCOUNT}:role/airflow-lake_inventory"


@pytest.fixture
def aws(worker: pytest.MonkeyPatch) -> Iterator[Rogue]:
    yield from serving(worker)


class Conformance(SourceConformance):
    """A token that is signed here asks for nothing but the session."""

    @pytest.fixture
    def asked(self, aws: Rogue) -> Callable[[], int]:
        return lambda: aws.connections


class TestRds(Conformance):
    @pytest.fixture
    def source(self, aws: Rogue) -> AwsRdsToken:
        return rds(role_arn=ROLE)


class TestEks(Conformance):
    @pytest.fixture
    def source(self, aws: Rogue) -> AwsEks:
        return eks(role_arn=ROLE)


def wrong(kind: type[AwsRdsToken] | type[AwsEks], **fields: Any) -> list[str]:
    """List what is wrong with a source that has these fields, and is right but for them."""
    whole = {"cluster": "batch"} if kind is AwsEks else {"host": DATABASE, "port": 5432, "username": "loader"}
    return problems(kind, **{**whole, **fields})


# The verifier


PUBLISHED = (
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def published(url: str = PUBLISHED, **others: Any) -> dict[str, str]:
    whole: dict[str, Any] = {
        "secret_of": lambda _: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "scope": "us-east-1/s3",
        "now": datetime(2013, 5, 24, tzinfo=timezone.utc),
        "payload": UNSIGNED,
    }
    return verify(url, **{**whole, **others})


def test_verifier_takes_the_example_of_aws() -> None:
    """What verifies our tokens takes the signed request that the S3 documentation prints, and no other."""
    assert published()
    for changed in (PUBLISHED.replace("test.txt", "text.txt"), PUBLISHED.replace("86400", "86401")):
        with pytest.raises(SignatureRefusedError, match="signature"):
            published(changed)
    with pytest.raises(SignatureRefusedError, match="date"):
        published(now=None)
    with pytest.raises(SignatureRefusedError, match="scope"):
        published(scope="us-east-1/sts")


# RDS


def connect(password: str, username: str, *, host: str = f"{DATABASE}:5432", region: str = REGION) -> str:
    """Be a database of RDS; give the access key id that the token is signed with."""
    assert password.startswith(f"{host}/?")
    query = verify(f"https://{password}", secret_of=SECRETS.__getitem__, scope=f"{region}/rds-db")
    assert (query["Action"], query["DBUser"], query["X-Amz-Expires"]) == ("connect", username, "900")
    return query["X-Amz-Credential"].partition("/")[0]


def test_rds_takes_the_token_of_the_worker(worker: pytest.MonkeyPatch) -> None:
    """The token is signed for that host, port, user and region, and nobody is asked for it."""
    with Rogue(close) as aws:
        worker.setenv("AWS_ENDPOINT_URL", aws.url)
        credential = ask(rds()).credential

    assert isinstance(credential, BasicCredential)
    assert aws.connections == 0
    assert credential.username == "loader"
    assert credential.principal == f"worker identity {KEY_ID} (env) as loader"
    assert connect(credential.password, "loader") == KEY_ID
    assert dict(parse_qsl(credential.password))["X-Amz-Security-Token"] == SESSION


def test_rds_takes_the_token_of_a_role(aws: Rogue) -> None:
    """With a role its session signs; the request that opened it is the one to look for in CloudTrail."""
    credential = ask(rds(role_arn=ROLE)).credential

    assert isinstance(credential, BasicCredential)
    assert connect(credential.password, "loader") == KEYS["AccessKeyId"]
    assert (credential.principal, credential.request_id) == (f"{PRINCIPAL} as loader", REQUEST_ID)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("change", [("loader", "admin"), ("5432", "5433"), (DATABASE, "x.test"), ("connect", "drop")])
def test_rds_takes_nothing_else(change: tuple[str, str]) -> None:
    """Whoever changes the user, host or port of a token has none."""
    password = ask(rds()).credential.secrets()[0]

    assert verify(f"https://{password}", secret_of=SECRETS.__getitem__, scope=f"{REGION}/rds-db")
    with pytest.raises(SignatureRefusedError, match="signature"):
        verify(f"https://{password.replace(*change)}", secret_of=SECRETS.__getitem__, scope=f"{REGION}/rds-db")


@pytest.mark.parametrize("session", [None, SESSION])
@pytest.mark.parametrize("username", ["loader", "team+loader@example.com", "A.b-c_d"])
def test_rds_token_is_that_of_boto3(worker: pytest.MonkeyPatch, username: str, session: str | None) -> None:
    """In one and the same second it is, letter by letter, what ``generate_db_auth_token`` makes."""
    if session is None:
        worker.delenv("AWS_SESSION_TOKEN")
    now = datetime.now(timezone.utc)
    worker.setattr(botocore.auth, "get_current_datetime", lambda *_: now)
    client = boto3.Session(region_name=REGION).client("rds")

    password = ask(rds(username=username, port=3306)).credential.secrets()[0]

    assert password == client.generate_db_auth_token(DBHostname=DATABASE, Port=3306, DBUsername=username)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("make", [rds, eks])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_ends_no_later_than_its_date_allows(make: Callable[[], Any], fraction: float) -> None:
    """The date in a token has no fractions of a second, so that its fifteen minutes may begin before we asked."""
    source = make()
    made = given(source)
    early = msgspec.structs.replace(made, asked=Instant(int(made.asked.wall) + fraction, made.asked.boot))

    end = source.mint(early).expires_at

    assert end == int(made.asked.wall) + 900


@pytest.mark.usefixtures("worker")
def test_rds_user_is_named_by_the_caller() -> None:
    """Each Dag may have a database user of its own."""
    credential = ask(rds(username="etl_{dag_id}"), caller=Caller(process="task", dag_id="orders")).credential

    assert isinstance(credential, BasicCredential)
    assert connect(credential.password, "etl_orders") == KEY_ID
    assert (credential.username, credential.principal.rpartition(" ")[2]) == ("etl_orders", "etl_orders")


@pytest.mark.parametrize("dag_id", ["x" * 60, "a:b", "a=b", "a,b"])
def test_user_that_no_database_takes_as_it_is(aws: Rogue, dag_id: str) -> None:
    """A name that a database would cut or could not hold is refused before anything is asked for or signed."""
    error = failure(rds(username="etl_{dag_id}", role_arn=ROLE), caller=Caller(process="task", dag_id=dag_id))

    assert (type(error), error.code, aws.connections) == (SourceRefused, "bad_username", 0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"host": "orders.proxy-abc.eu-west-1.rds.amazonaws.com"}, []),
        ({"host": "localhost"}, []),
        ({"region": "eu-west-2"}, ["host: is in eu-west-1, while region is eu-west-2"]),
        ({"region": "cn-north-1", "host": "orders.abc.rds.cn-north-1.amazonaws.com.cn"}, []),
        ({"host": "orders.abc.global-xyz.global.rds.amazonaws.com"}, []),
    ],
    ids=str,
)
def test_rds_host_is_in_its_region(fields: dict[str, Any], expected: list[str]) -> None:
    """A token that is signed for another region than the host's would be refused by the database only."""
    assert wrong(AwsRdsToken, **fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"host": f"{DATABASE}\n"},
        {"host": "https://x"},
        {"host": "x/y"},
        {"host": "x:5432"},
        {"host": "X.test"},
        {"host": ""},
        {"host": "x" * 254},
        {"port": 0},
        {"port": 65_536},
        {"port": "5432"},
        {"username": ""},
        {"username": "loader\n"},
        {"username": "a b"},
        {"username": "a/b"},
        {"username": "x" * 64},
        {"username": "{try_number}"},
        {"endpoint_url": "https://rds.test"},
    ],
    ids=str,
)
def test_rds_field_that_makes_no_token(fields: dict[str, Any]) -> None:
    """What cannot be signed for, or would be signed as something else, is a problem at load."""
    assert len(wrong(AwsRdsToken, **fields)) == 1


# EKS


def authenticated(token: str, **others: Any) -> str:
    """Be the cluster ``batch``; give the access key id that the token is signed with."""
    whole: dict[str, Any] = {
        "cluster": "batch",
        "host": f"sts.{REGION}.amazonaws.com",
        "region": REGION,
        "secret_of": SECRETS.__getitem__,
    }
    return authenticate(token, **{**whole, **others})


def test_eks_takes_the_token_of_the_worker(worker: pytest.MonkeyPatch) -> None:
    """The token passes the checks of aws-iam-authenticator and then of STS, and nobody is asked for it."""
    with Rogue(close) as aws:
        worker.setenv("AWS_ENDPOINT_URL", aws.url)
        credential = ask(eks()).credential

    assert isinstance(credential, BearerToken)
    assert aws.connections == 0
    assert credential.principal == f"worker identity {KEY_ID} (env)"
    assert authenticated(credential.token) == KEY_ID


def test_eks_takes_the_token_of_a_role(aws: Rogue) -> None:
    """With a role its session signs."""
    credential = ask(eks(role_arn=ROLE)).credential

    assert isinstance(credential, BearerToken)
    assert authenticated(credential.token) == KEYS["AccessKeyId"]
    assert (credential.principal, credential.request_id) == (PRINCIPAL, REQUEST_ID)


@pytest.mark.usefixtures("worker")
def test_eks_token_is_for_one_cluster() -> None:
    """Another cluster that is shown the token cannot use it at the first."""
    token = ask(eks(cluster="other")).credential.secrets()[0]

    assert authenticated(token, cluster="other") == KEY_ID
    with pytest.raises(SignatureRefusedError, match="signature"):
        authenticated(token)


@pytest.mark.usefixtures("worker")
def test_eks_asks_the_sts_of_its_region() -> None:
    """The cluster asks the STS that the token names, and takes its own region's alone."""
    token = ask(eks(region="cn-north-1")).credential.secrets()[0]

    assert authenticated(token, region="cn-north-1", host="sts.cn-north-1.amazonaws.com.cn") == KEY_ID
    with pytest.raises(TokenRefusedError, match="endpoint"):
        authenticated(token)


def test_eks_private_endpoint_is_for_the_role_alone(aws: Rogue, worker: pytest.MonkeyPatch) -> None:
    """A private endpoint of STS is asked for the role; the token names the one that the cluster asks."""
    worker.delenv("AWS_ENDPOINT_URL")
    source = eks(role_arn=ROLE, endpoint_url=aws.url)
    token = ask(source).credential.secrets()[0]

    assert asked(aws) == ["sts:AssumeRole"]
    assert source.endpoints() == [aws.url]
    assert eks(endpoint_url=aws.url).endpoints() == []
    assert authenticated(token) == KEYS["AccessKeyId"]


def test_eks_token_of_a_role_that_sts_really_issued(cloud: Cloud) -> None:
    """The token verifies with the keys that an enforcing STS remembers, and they are those of the role's session."""
    source = eks(role_arn=LAKE, endpoint_url=cloud.endpoint_url)
    credential = ask(source, caller=Caller(process="task", dag_id="orders", run_id="r1")).credential

    issued = {one.access_key_id: one for one in cloud.issued()}
    signer = authenticated(credential.secrets()[0], secret_of=lambda key: issued[key].secret_access_key)
    query = dict(parse_qsl(urlsplit(presigned(credential.secrets()[0])).query))
    assert query["X-Amz-Security-Token"] == issued[signer].session_token
    assert (issued[signer].role, issued[signer].session_name) == ("airflow-lake_inventory", "orders.r1")
    assert credential.principal == f"arn:aws:sts::{ACCOUNT}:assumed-role/airflow-lake_inventory/orders.r1"


@pytest.mark.parametrize("name", ["", "-batch", "a b", "a/b", "batch\n", "x" * 101])
def test_eks_cluster_has_a_name_of_eks(name: str) -> None:
    """The name is a header of a signed request."""
    assert wrong(AwsEks) == []
    assert len(wrong(AwsEks, cluster=name)) == 1


def test_error_tells_no_secret(worker: pytest.MonkeyPatch) -> None:
    """Nothing of what signs stands in an error."""
    with Rogue(close) as sts:
        worker.setenv("AWS_ENDPOINT_URL", sts.url)
        told = "".join(story(failure(source)) for source in (rds(role_arn=ROLE), eks(role_arn=ROLE)))

    assert [hidden for hidden in (SECRET_KEY, SESSION) if hidden in told] == []


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("make", [rds, eks])
def test_log_tells_no_part_of_a_signature(make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    """botocore would write down the request and its signature, which together are the token."""
    with caplog.at_level(logging.DEBUG):
        token = ask(make()).credential.secrets()[0]

    url = presigned(token) if token.startswith("k8s") else token
    assert dict(parse_qsl(url))["X-Amz-Signature"] not in caplog.text
    assert "X-Amz-Credential" not in caplog.text
