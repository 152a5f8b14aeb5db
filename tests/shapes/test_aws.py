"""The ``aws`` connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.shapes.aws import LEASED, Aws
from airflow_ephemeral_secrets.shapes.live import STS_LOGIN, Route, StsFace
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance, secret

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


STS = {"endpoint_url": "https://vpce.sts.test"}
DESK, PLACELESS = Route("http://127.0.0.1:4711/a1b2", "a-capability"), Route("", "a-capability")


class TestLive(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Aws:
        return Aws(source="s", region="eu-west-1", extra={"config_kwargs": {"signature_version": "s3v4"}}, live=True)


@pytest.mark.parametrize(
    ("extra", "services"),
    [
        ({}, {"sts": {"endpoint_url": DESK.url}}),
        ({"service_config": {"sts": STS}}, {"sts": {"endpoint_url": DESK.url}}),
        (
            {"service_config": {"s3": {"bucket_name": "b"}, "sts": {"x": 1}}},
            {"s3": {"bucket_name": "b"}, "sts": {"x": 1, "endpoint_url": DESK.url}},
        ),
    ],
)
def test_live_fields(extra: dict[str, Any], services: dict[str, Any]) -> None:
    """The hook is led to the desk for its own AssumeRole; what the file says of other services stays."""
    shape = Aws(source="s", region="eu-west-1", extra=extra, live=True)
    spec = shape.render_live(DESK, secret)

    assert (spec.conn_type, spec.login, spec.password) == ("aws", STS_LOGIN, "a-capability")
    assert json.loads(spec.extra or "") == {
        "region_name": "eu-west-1",
        "role_arn": LEASED,
        "service_config": services,
    }


def test_live_fields_for_our_session_factory() -> None:
    """Where our factory makes the sessions, the connection holds the capability and leads nowhere."""
    spec = Aws(source="s", extra={"service_config": {"sts": STS}}, live=True).render_live(PLACELESS, secret)

    assert (spec.login, spec.password) == (STS_LOGIN, "a-capability")
    assert json.loads(spec.extra or "") == {"service_config": {"sts": STS}}


@pytest.mark.parametrize(
    ("shape", "upstream"),
    [
        (Aws(source="s", live=True), None),
        (Aws(source="s", live=True, extra={"endpoint_url": "http://localhost:4566"}), "http://localhost:4566"),
        (Aws(source="s", live=True, extra={"service_config": {"sts": STS}, "endpoint_url": "x"}), STS["endpoint_url"]),
    ],
)
def test_live_asks_for_a_desk(shape: Aws, upstream: str | None) -> None:
    """What a task asks STS itself goes on to where the file says that STS is."""
    assert shape.problems() == []
    assert shape.face() == StsFace(upstream=upstream)


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"role_arn": "arn:aws:iam::111122223333:role/x"}, "extra.role_arn: would make the hook take another identity"),
        ({"assume_role_kwargs": {}}, "extra.assume_role_kwargs: would make the hook take another identity"),
        (
            {"config_kwargs": {"proxies": {"http": "p"}}},
            "extra.config_kwargs.proxies.http: would stand before 127.0.0.1",
        ),
        (
            {"config_kwargs": {"signature_version": "unsigned"}},
            "extra.config_kwargs.signature_version: does not go with live, where the hook proves itself by v4",
        ),
    ],
)
def test_what_cannot_be_live_is_told(extra: dict[str, Any], problem: str) -> None:
    """What would lead the hook past the desk is a problem of the configuration."""
    assert Aws(source="s", extra=extra, live=True).problems() == [problem]
