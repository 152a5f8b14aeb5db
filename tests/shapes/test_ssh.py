"""The ``ssh`` and ``sftp`` connections."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.ssh import Sftp, Ssh
from tests.shapes.conformance import ShapeConformance, secret

LOGIN = BasicCredential(username="a-login", password="a-password")
TOKEN = BearerToken(token="a-token")
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJK2uJ7l6c0gDkXlFk4mS0FJw1vJ5m1Kq3f0H9dTzAbC"
KEY = SecretName("deploy-key")
CHECKED = {"look_for_keys": False, "no_host_key_check": False}


FILLED_IN = (
    "host_key",
    "ignore_hostkey_verification",
    "no_host_key_check",
    "passphrase",
    "private_key",
    "private_key_passphrase",
)
ANOTHER_IDENTITY = ("key_file",)


class TestSsh(ShapeConformance):
    @pytest.fixture(params=[Ssh, Sftp])
    def shape(self, request: pytest.FixtureRequest) -> Ssh:
        made = request.param(
            source="s",
            host="host.test",
            port=2222,
            login="deploy",
            private_key=KEY,
            private_key_passphrase=SecretName("passphrase"),
            host_key=HOST_KEY,
            extra={"conn_timeout": 5},
        )
        assert isinstance(made, Ssh)
        return made


class TestKey(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Ssh:
        return Ssh(source="s", host="host.test", private_key="{token}", no_host_key_check=True)


def rendered(shape: Ssh, credential: BasicCredential | BearerToken = LOGIN) -> dict[str, Any]:
    fields = shape.render(credential, secret).fields()
    extra = json.loads(fields.pop("extra"))
    return {**{name: value for name, value in fields.items() if value is not None}, "extra": extra}


@pytest.mark.parametrize(
    ("fields", "credential", "expected", "extra"),
    [
        ({}, LOGIN, {"login": "a-login", "password": "a-password"}, {}),
        ({"login": "deploy"}, TOKEN, {"login": "deploy", "password": "a-token"}, {}),
        (
            {"private_key": KEY},
            LOGIN,
            {"login": "a-login", "password": "a-password"},
            {"private_key": "secret-of-deploy-key"},
        ),
        (
            {"private_key": KEY, "private_key_passphrase": SecretName("p")},
            LOGIN,
            {"login": "a-login", "password": "a-password"},
            {"private_key": "secret-of-deploy-key", "private_key_passphrase": "secret-of-p"},
        ),
        (
            {"private_key": "{token}", "login": "deploy"},
            TOKEN,
            {"login": "deploy"},
            {"private_key": "a-token"},
        ),
        ({"private_key": "{password}"}, LOGIN, {"login": "a-login"}, {"private_key": "a-password"}),
        ({"host_key": HOST_KEY}, LOGIN, {"login": "a-login", "password": "a-password"}, {"host_key": HOST_KEY}),
        (
            {"no_host_key_check": True},
            LOGIN,
            {"login": "a-login", "password": "a-password"},
            {"no_host_key_check": True},
        ),
        (
            {"extra": {"look_for_keys": True, "conn_timeout": 5}},
            LOGIN,
            {"login": "a-login", "password": "a-password"},
            {"look_for_keys": True, "conn_timeout": 5},
        ),
    ],
)
@pytest.mark.parametrize("kind", [Ssh, Sftp])
def test_fields(
    kind: type[Ssh],
    fields: dict[str, Any],
    credential: BasicCredential | BearerToken,
    expected: dict[str, Any],
    extra: dict[str, Any],
) -> None:
    """A password or key stands where the hook looks for it; the host is verified, and no key of the worker is tried."""
    assert rendered(kind(source="s", host="host.test", **fields), credential) == {
        "conn_type": kind.__struct_config__.tag,
        "host": "host.test",
        "port": 22,
        **expected,
        "extra": {**CHECKED, **extra},
    }


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({}, {"login": "{username}"}),
        ({"login": "deploy"}, {"login": "deploy"}),
        ({"login": "deploy", "private_key": "{token}"}, {"login": "deploy", "private_key": "{token}"}),
        ({"login": "deploy", "private_key": KEY}, {"login": "deploy"}),
    ],
)
def test_lists_where_placeholders_may_stand(fields: dict[str, Any], texts: dict[str, str]) -> None:
    """A login or key that the credential cannot fill is found at load."""
    assert Ssh(source="s", host="host.test", **fields).texts() == texts


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"host_key": HOST_KEY, "no_host_key_check": True}, "no_host_key_check"),
        ({"private_key_passphrase": SecretName("p")}, "private_key_passphrase"),
        *(({"extra": {key: "x"}}, f"extra.{key}") for key in (*FILLED_IN, *ANOTHER_IDENTITY)),
    ],
)
@pytest.mark.parametrize("kind", [Ssh, Sftp])
def test_problems(kind: type[Ssh], fields: dict[str, Any], path: str) -> None:
    """What the hook refuses together, what stands twice, and another key than ours are problems at load."""
    assert [text.partition(":")[0] for text in kind(source="s", host="h", **fields).problems()] == [path]
