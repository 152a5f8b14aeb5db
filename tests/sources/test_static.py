"""Static secrets: handed out as they are, by reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.sources.static import Static
from tests.sources.asking import ask, given
from tests.sources.conformance import SourceConformance

KEY, LOGIN, PASSWORD = SecretName("api-key"), SecretName("login"), SecretName("password")


class Asked:
    """Reads secret references and counts."""

    times = 0

    def __call__(self, name: SecretName) -> str:
        self.times += 1
        return f"secret of {name.secret}"


@pytest.fixture
def secret() -> Asked:
    return Asked()


class TestToken(SourceConformance):
    @pytest.fixture
    def source(self) -> Static:
        return Static(token=KEY)

    @pytest.fixture
    def asked(self, secret: Asked) -> Callable[[], int]:
        return lambda: secret.times


class TestLogin(TestToken):
    @pytest.fixture
    def source(self) -> Static:
        return Static(username="airflow", password=PASSWORD)


def test_token(secret: Asked) -> None:
    """A token is what its reference holds, and names itself by the reference."""
    source = Static(token=KEY)

    assert source.mint(given(source, secret=secret)) == BearerToken(
        token="secret of api-key", principal="static api-key"
    )


@pytest.mark.parametrize(("username", "expected"), [("airflow", "airflow"), (LOGIN, "secret of login")])
def test_login(username: Any, expected: str, secret: Asked) -> None:
    """A login is plain text or a reference; its password is always a reference."""
    source = Static(username=username, password=PASSWORD)

    assert source.mint(given(source, secret=secret)) == BasicCredential(
        username=expected, password="secret of password", hidden=username is LOGIN, principal="static password"
    )


@pytest.mark.parametrize(("username", "shown"), [("airflow", True), (LOGIN, False)])
def test_login_by_reference_is_masked(username: Any, shown: bool, secret: Asked) -> None:
    """A login that is kept as a secret, such as an API key, is one in logs too."""
    source = Static(username=username, password=PASSWORD)
    credential = source.mint(given(source, secret=secret))
    assert isinstance(credential, BasicCredential)
    made = Http(source="s", host="api.test").render(credential, secret)

    assert (credential.username in made.secrets) is not shown
    assert "secret of password" in made.secrets


def test_is_held_but_never_shared(secret: Asked) -> None:
    """What does not end by itself stays in this process, and is read again after the ttl."""
    lease = ask(Static(token=KEY, ttl="7m"), secret=secret)

    assert (lease.life, lease.shared) == (420, False)


@pytest.mark.parametrize(
    ("fields", "starts"),
    [
        ({}, "token: required"),
        ({"username": "airflow"}, "token: required"),
        ({"password": PASSWORD}, "token: required"),
        ({"token": KEY, "username": "airflow"}, "token: either"),
        ({"token": KEY, "password": PASSWORD}, "token: either"),
        ({"token": KEY, "username": "airflow", "password": PASSWORD}, "token: either"),
    ],
)
def test_is_one_thing_or_the_other(fields: dict[str, Any], starts: str) -> None:
    """A token excludes a login, and half a login is none."""
    (problem,) = Static(**fields).problems()

    assert problem.startswith(starts)
