"""The ``aws`` connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.shapes.aws import Aws
from tests.shapes.conformance import ShapeConformance, secret

SESSION = AwsCredential(access_key_id="ASIAMINTED", secret_access_key="a/secret", session_token="a+session==")
KEYS = AwsCredential(access_key_id="AKIALASTING", secret_access_key="a/secret")


class TestAws(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Aws:
        return Aws(
            source="s", region="eu-west-1", extra={"config_kwargs": {"retries": {"mode": "standard"}}, "verify": False}
        )


@pytest.mark.parametrize(
    ("shape", "credential", "extra"),
    [
        (Aws(source="s"), SESSION, {"aws_session_token": "a+session=="}),
        (Aws(source="s"), KEYS, None),
        (Aws(source="s", region="eu-west-1"), KEYS, {"region_name": "eu-west-1"}),
        (
            Aws(source="s", region="eu-west-1", extra={"endpoint_url": "https://s3.test", "verify": False}),
            SESSION,
            {
                "endpoint_url": "https://s3.test",
                "verify": False,
                "aws_session_token": "a+session==",
                "region_name": "eu-west-1",
            },
        ),
    ],
)
def test_fields(shape: Aws, credential: AwsCredential, extra: dict[str, Any] | None) -> None:
    """The key is the login, the secret the password, and the extra holds the session under the hook's own names."""
    spec = shape.render(credential, secret)
    fields = spec.fields()

    assert json.loads(fields.pop("extra") or "null") == extra
    assert fields == {
        "conn_type": "aws",
        "host": None,
        "schema": None,
        "login": credential.access_key_id,
        "password": "a/secret",
        "port": None,
    }


@pytest.mark.parametrize("key", ["aws_session_token", "aws_access_key_id", "aws_secret_access_key"])
def test_extra_holds_no_keys(key: str) -> None:
    """A key in the file would be a secret in the clear, and would win over the one that was minted."""
    assert Aws(source="s", extra={key: "x"}).problems() == [f"extra.{key}: is filled in by this shape"]
