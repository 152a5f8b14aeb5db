"""The ``docker`` connection."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.shapes.docker import Docker
from tests.peers.installed import provider
from tests.peers.rogue import Peer, Rogue, response
from tests.shapes.conformance import ShapeConformance, secret
from tests.shapes.worker import SECRETS, Seen, answer, work

REGISTRY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
ECR = BasicCredential(username="AWS", password="a-password")


class TestDocker(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Docker:
        return Docker(
            source="s", host="registry.test", port=5000, login="airflow", extra={"email": "airflow@acme.test"}
        )


class TestUrl(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Docker:
        return Docker(source="s", host="https://index.docker.io/v1/")


@pytest.mark.parametrize(
    ("fields", "credential", "expected"),
    [
        ({}, ECR, {"login": "AWS", "password": "a-password"}),
        ({"login": "oauth2accesstoken"}, BearerToken(token="t"), {"login": "oauth2accesstoken", "password": "t"}),
        ({"port": 5000}, ECR, {"port": 5000, "login": "AWS", "password": "a-password"}),
        ({"extra": {"email": "a"}}, ECR, {"login": "AWS", "password": "a-password", "extra": '{"email": "a"}'}),
    ],
)
def test_fields(fields: dict[str, Any], credential: BasicCredential | BearerToken, expected: dict[str, Any]) -> None:
    """The registry is the host, and what opens it the login and password."""
    made = Docker(source="s", host=REGISTRY, **fields).render(credential, secret).fields()

    assert {name: value for name, value in made.items() if value is not None} == {
        "conn_type": "docker",
        "host": REGISTRY,
        **expected,
    }


@pytest.mark.parametrize("reauth", [False, "false", "No", 0])
def test_no_earlier_login(reauth: Any) -> None:
    """Without it, the client goes on with the password that an earlier login of the same name left on the worker."""
    (problem,) = Docker(source="s", host=REGISTRY, extra={"reauth": reauth}).problems()

    assert problem.startswith("extra.reauth: ")
    assert Docker(source="s", host=REGISTRY, extra={"reauth": True}).problems() == []


def test_login_may_hold_placeholders() -> None:
    """A login that the credential cannot fill is found at load."""
    assert Docker(source="s", host=REGISTRY).texts() == {"login": "{username}"}


def daemon(peer: Peer) -> None:
    """Be the Docker daemon: log in to the registry, and pull images for who has."""
    request = peer.read()
    path = request.target.partition("?")[0]
    if path.endswith("/_ping"):
        peer.send(response(b"OK"))
    elif path.endswith("/version"):
        peer.send(answer({"ApiVersion": "1.47", "MinAPIVersion": "1.24"}))
    else:
        given = request.body if path.endswith("/auth") else base64.b64decode(str(request.headers["X-Registry-Auth"]))
        held = json.loads(given)
        right = {"username": "AWS", "password": SECRETS["PASSWORD"], "serveraddress": REGISTRY}
        status = 200 if {name: held.get(name) for name in right} == right else 401
        peer.send(answer({"Status": "Login Succeeded"} if status == 200 else {"message": "unauthorized"}, status))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hook once, on a worker where an earlier login left another password."""
    provider("docker")
    home = tmp_path_factory.mktemp("worker")
    (home / ".docker").mkdir()
    stale = base64.b64encode(b"AWS:of-yesterday").decode()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {REGISTRY: {"auth": stale}}}))
    recipe = {"shape": "docker", "host": REGISTRY}
    with Rogue(daemon) as server:
        return work(
            "docker",
            {
                "registry": {"source": "ecr", **recipe},
                "by_token": {"source": "ecr_token", "login": "AWS", **recipe},
                "wrong": {"source": "wrong", "login": "AWS", **recipe},
            },
            given={"ecr": ("AWS", SECRETS["PASSWORD"]), "ecr_token": SECRETS["PASSWORD"]},
            home=home,
            DAEMON=f"tcp://127.0.0.1:{server.port}",
        )


@pytest.mark.parametrize("name", ["hook", "operator", "by_token"])
def test_docker_hook(seen: Seen, name: str) -> None:
    """The stock hook and that of its operator log in to the daemon, and pull images by the same login."""
    assert json.loads(seen[name]) == {"Status": "Login Succeeded"}


def test_another_password_is_refused(seen: Seen) -> None:
    """The daemon looks at the password."""
    assert seen["wrong"]["error"] == "APIError"
    assert "401" in seen["wrong"]["told"]


def test_the_hook_keeps_what_it_read(seen: Seen) -> None:
    """A hook asks for its connection once."""
    assert seen["reads"] == 0


def test_nothing_leaks(seen: Seen) -> None:
    """No logger writes the password, however talkative, and no error tells it."""
    assert seen.leaks() == []
