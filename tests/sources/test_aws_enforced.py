"""AWS that checks signatures, session tokens and permissions: moto, as enforcing as it can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.request import Request as Post
from urllib.request import urlopen

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.credential import BasicCredential
from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, BUCKET, REGION, WORKER, Cloud
from airflow_ephemeral_secrets.errors import SourceFailed, SourceRefused
from airflow_ephemeral_secrets.installation import Installation
from tests.peers.aws_services import USER
from tests.sources.asking import ask, failure
from tests.sources.derived import ecr, redshift

LOADER = f"arn:aws:iam::{ACCOUNT}:role/loader"
ONLOOKER = f"arn:aws:iam::{ACCOUNT}:role/onlooker"


def control(cloud: Cloud, enforcing: bool) -> None:
    """Have moto enforce, or not."""
    body = b"0" if enforcing else b"inf"
    post = Post(f"{cloud.endpoint_url}/moto-api/reset-auth", data=body, headers={"Content-Type": "text/plain"})
    urlopen(post, timeout=10).close()


@pytest.fixture(scope="module")
def warehouse(enforcing: Cloud) -> Cloud:
    """The enforcing cloud with a cluster, a role that may log on to it and to the registry, and one that may not."""
    control(enforcing, enforcing=False)
    iam, clusters = (enforcing.client(name, "set-up", "set-up") for name in ("iam", "redshift"))
    user = iam.get_user(UserName=WORKER)["User"]["Arn"]
    for role, action in ((LOADER, ["redshift:GetClusterCredentials", "ecr:GetAuthorizationToken"]), (ONLOOKER, "s3:*")):
        name = role.rpartition("/")[2]
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": user}}
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
        allow = {"Effect": "Allow", "Action": action, "Resource": "*"}
        iam.put_role_policy(RoleName=name, PolicyName="tokens", PolicyDocument=policy(allow))
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": [LOADER, ONLOOKER]}
    iam.put_user_policy(UserName=WORKER, PolicyName="tokens", PolicyDocument=policy(may))
    clusters.create_cluster(
        ClusterIdentifier="warehouse",
        NodeType="ra3.large",
        MasterUsername="u",
        ManageMasterPassword=False,
        MasterUserPassword="Unused-1",
    )
    control(enforcing, enforcing=True)
    return enforcing


def policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def in_warehouse(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any], **fields: Any) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint_url)
    return make(**fields)


def test_cluster_lets_the_role_in(warehouse: Cloud, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that checks signature, session token and permission issues the password that was asked for."""
    source = in_warehouse(cloud, monkeypatch, redshift, role_arn=LOADER, ttl="20m")
    lease = ask(source, caller=Caller(process="task", dag_id="orders", run_id="r1"))

    assert isinstance(lease.credential, BasicCredential)
    assert lease.credential.username == USER
    assert lease.credential.principal.endswith("assumed-role/loader/orders.r1 as IAM:loader")
    assert 1_190 < lease.life <= 1_200


@pytest.mark.parametrize(
    ("make", "fields", "code", "hint"),
    [
        (redshift, {"role_arn": ONLOOKER}, "AccessDenied", "redshift:GetClusterCredentials"),
        (redshift, {}, "AccessDenied", "redshift:GetClusterCredentials"),
        (redshift, {"role_arn": LOADER, "cluster": "other"}, "ClusterNotFound", "cluster"),
    ],
)
def test_refuses_who_may_not(
    warehouse: Cloud,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[..., Any],
    fields: dict[str, str],
    code: str,
    hint: str,
) -> None:
    """A role without the permission gets none, and is told which one it lacks."""
    error = failure(in_warehouse(cloud, monkeypatch, make, **fields))

    assert (type(error), error.code) == (SourceRefused, code)
    assert hint in str(error.hint)


def test_registry_refuses_who_may_not(warehouse: Cloud, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that checks gives nothing to who may not; since moto says so in XML, its status alone is told."""
    error = failure(in_warehouse(cloud, monkeypatch, ecr, role_arn=ONLOOKER))

    assert (type(error), error.code) == (SourceFailed, "HTTP 403")


def test_registry_lets_the_role_in(warehouse: Cloud, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that checks lets the role in; since moto's passwords all ended in 2015, none is handed out."""
    error = failure(in_warehouse(cloud, monkeypatch, ecr, role_arn=LOADER, registry=None))

    assert (type(error), error.code) == (SourceFailed, "bad_lifetime")
    assert cloud.calls["GetAuthorizationToken"] > 0


def test_each_dag_has_a_role_of_its_own(cloud: Cloud) -> None:
    """By one conn_id each Dag gets what its own role may, on one host, and a Dag without a role gets nothing."""
    role = {
        "kind": "aws_assume_role",
        "role_arn": f"arn:aws:iam::{ACCOUNT}:role/airflow-{{dag_id}}",
        "region": REGION,
        "endpoint_url": cloud.endpoint_url,
        "tags": {"dag": "{dag_id}"},
    }
    config = {"version": 1, "sources": {"own": role}, "connections": {"lake": {"source": "own", "shape": "aws"}}}
    resolver = Installation({"config": {**config, "store": {"host": "off"}}}, "/", lambda: None).resolver()

    def s3(dag_id: str) -> Any:
        spec = resolver.connection("lake", Caller(process="task", dag_id=dag_id, task_id="t", run_id="r"))
        assert spec
        token = json.loads(spec.extra or "")["aws_session_token"]
        return cloud.client("s3", str(spec.login), str(spec.password), token)

    before = len(cloud.issued())
    copier, reader = s3("lake_copy"), s3("lake_inventory")
    copier.put_object(Bucket=BUCKET, Key="reports/today", Body=b"")
    for again in (reader, s3("lake_inventory")):
        with pytest.raises(again.exceptions.ClientError, match="AccessDenied"):
            again.put_object(Bucket=BUCKET, Key="reports/today", Body=b"")
        assert again.get_object(Bucket=BUCKET, Key="reports/today")["Body"].read() == b""
    with pytest.raises(SourceRefused, match="role/airflow-orders: AWS answered 403 AccessDenied"):
        s3("orders")
    assert [one.role for one in cloud.issued()][before:] == ["airflow-lake_copy", "airflow-lake_inventory"]
