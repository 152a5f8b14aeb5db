"""The ``github`` connection."""

from __future__ import annotations

import json

import pytest

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.shapes.github import Github
from tests.peers.installed import provider
from tests.peers.internet import Internet
from tests.peers.rogue import Request, response
from tests.shapes.conformance import ShapeConformance, secret
from tests.shapes.worker import Seen, work

TOKEN = "ghs_of_an_installation_0000000000"
ENTERPRISE = "https://github.example.com/api/v3"


class TestGithub(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Github:
        return Github(source="s", host=ENTERPRISE)


@pytest.mark.parametrize("host", [None, ENTERPRISE])
def test_token_is_the_password(host: str | None) -> None:
    """The connection holds the token and where to send it; an extra would make the hook look for a key."""
    made = Github(source="s", host=host).render(BearerToken(token=TOKEN), secret).fields()

    assert {name: value for name, value in made.items() if value is not None} == {
        "conn_type": "github",
        "password": TOKEN,
        **({"host": host} if host else {}),
    }


def answer(host: str, request: Request) -> bytes:
    """Be GitHub, and a GitHub Enterprise."""
    here = {"api.github.com": "/user", "github.example.com": "/api/v3/user"}
    if request.headers["Authorization"] != f"token {TOKEN}" or request.target != here[host]:
        return response(b'{"message": "Bad credentials"}', status=401, Content_Type="application/json")
    user = {"login": f"airflow at {host}", "url": f"https://{host}{request.target}"}
    return response(json.dumps(user).encode(), Content_Type="application/json")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hook once."""
    provider("github")
    home = tmp_path_factory.mktemp("worker")
    with Internet(answer, ca_file=home / "ca.pem") as internet:
        return work(
            "github",
            {
                "api": {"source": "right", "shape": "github"},
                "enterprise": {"source": "right", "shape": "github", "host": ENTERPRISE},
                "wrong": {"source": "expired", "shape": "github"},
            },
            given={"right": TOKEN},
            home=home,
            **internet.environment,
        )


def test_github_hook(seen: Seen) -> None:
    """The stock hook and its operator act as whom the token is of, at GitHub or at the URL of the file."""
    assert seen["user"] == seen["operator"] == "airflow at api.github.com"
    assert seen["enterprise"] == "airflow at github.example.com"


def test_another_token_is_refused(seen: Seen) -> None:
    """The server looks at the token."""
    assert seen["wrong"]["error"] == "BadCredentialsException"


def test_the_hook_keeps_what_it_read(seen: Seen) -> None:
    """A hook asks for its connection when it is made, and not again."""
    assert seen["reads"] == 0


def test_nothing_leaks(seen: Seen) -> None:
    """No logger writes the token, however talkative, and no error tells it."""
    assert seen.leaks() == []
