"""The cloud of the demo is a witness only if it really enforces identities and permissions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, BUCKET, OBJECTS, SECRET_ID, Cloud
from airflow_ephemeral_secrets.demo.environment import scrubbed

TOKEN = "held-by-secrets-manager"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    pytest.importorskip("moto")
    with scrubbed(), Cloud(TOKEN) as cloud:
        yield cloud


def refusal(client: Any, operation: str, **arguments: str) -> str:
    with pytest.raises(client.exceptions.ClientError) as caught:
        getattr(client, operation)(**arguments)
    return str(caught.value.response["Error"]["Code"])


def assume(cloud: Cloud, role: str = "airflow-lake_inventory") -> tuple[str, str, str]:
    answer = cloud.worker_client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="test"
    )
    credentials = answer["Credentials"]
    return credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]


def test_worker_alone_reads_no_bucket(cloud: Cloud) -> None:
    """The worker's own identity has no permission in S3."""
    assert refusal(cloud.worker_client("s3"), "list_objects_v2", Bucket=BUCKET) == "AccessDenied"


def test_worker_reads_its_secret_and_lists_none(cloud: Cloud) -> None:
    """The worker may read a secret by name, and nothing else of Secrets Manager."""
    client = cloud.worker_client("secretsmanager")

    assert client.get_secret_value(SecretId=SECRET_ID)["SecretString"] == TOKEN
    refusal(client, "list_secrets")


def test_worker_assumes_only_the_roles_of_the_dags(cloud: Cloud) -> None:
    """Another role of the account is refused."""
    arguments = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/airflow-other", "RoleSessionName": "test"}

    assert refusal(cloud.worker_client("sts"), "assume_role", **arguments) == "AccessDenied"


def test_role_reads_the_bucket(cloud: Cloud) -> None:
    """What STS issued works where the worker alone is denied."""
    listed = cloud.client("s3", *assume(cloud)).list_objects_v2(Bucket=BUCKET, Prefix="landing")

    assert [item["Key"] for item in listed["Contents"]] == sorted(OBJECTS)


def test_role_writes_only_what_its_dag_needs(cloud: Cloud) -> None:
    """The reading role may not write, the copying role only below reports/."""
    reader = cloud.client("s3", *assume(cloud))
    writer = cloud.client("s3", *assume(cloud, "airflow-lake_copy"))

    writer.put_object(Bucket=BUCKET, Key="reports/x", Body=b"")
    assert refusal(reader, "put_object", Bucket=BUCKET, Key="reports/x") == "AccessDenied"
    assert refusal(writer, "put_object", Bucket=BUCKET, Key="landing/x") == "AccessDenied"


def test_checks_signatures_and_session_tokens(cloud: Cloud) -> None:
    """A credential works only as a whole: a wrong secret or a wrong token is refused."""
    key_id, secret, token = assume(cloud)

    assert (
        refusal(cloud.client("s3", key_id, "wrong", token), "list_objects_v2", Bucket=BUCKET) == "SignatureDoesNotMatch"
    )
    assert refusal(cloud.client("s3", key_id, secret, "wrong"), "list_objects_v2", Bucket=BUCKET) == "InvalidToken"
    assert refusal(cloud.client("s3", key_id, secret), "list_objects_v2", Bucket=BUCKET) == "InvalidAccessKeyId"


def test_session_of_one_role_cannot_assume_another(cloud: Cloud) -> None:
    """Only the worker is trusted by the roles."""
    arguments = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/airflow-lake_copy", "RoleSessionName": "test"}

    assert refusal(cloud.client("sts", *assume(cloud)), "assume_role", **arguments) == "AccessDenied"


def test_witnesses_what_was_issued(cloud: Cloud) -> None:
    """Every credential that STS hands out is in the witness's list, whole; refused calls are counted too."""
    key_id, secret, token = assume(cloud)
    refusal(
        cloud.worker_client("sts"),
        "assume_role",
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/airflow-other",
        RoleSessionName="test",
    )

    (one,) = cloud.issued()
    assert (one.access_key_id, one.secret_access_key, one.session_token) == (key_id, secret, token)
    assert (one.role, one.session_name) == ("airflow-lake_inventory", "test")
    assert cloud.calls["AssumeRole"] == 2


def test_witness_can_be_printed(cloud: Cloud) -> None:
    """The witness's own list does not leak."""
    _, secret, token = assume(cloud)
    shown = repr(cloud.issued())

    assert secret not in shown
    assert token not in shown


def test_starts_anew_each_time(cloud: Cloud) -> None:
    """One demo sees nothing of another in the same process."""
    assume(cloud)

    with Cloud("another-secret") as second:
        assert second.issued() == []
        assert second.calls.total() == 0
