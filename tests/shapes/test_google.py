"""The ``google_cloud_platform`` connection."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.shapes.base import ConnectionSpec
from airflow_ephemeral_secrets.shapes.google import Google
from tests.peers.installed import provider
from tests.peers.internet import Internet
from tests.peers.rogue import Request, response
from tests.shapes.conformance import LiveShapeConformance, ShapeConformance, secret
from tests.shapes.worker import SECRETS, Seen, work

TOKEN = "ya29.a-google-token"
REPORTER = "reporter@acme-lake.iam.gserviceaccount.com"


FILLED_IN = (
    "credential_config_file",
    "project",
    "scope",
    "num_retries",
)
ANOTHER_IDENTITY = (
    "key_path",
    "keyfile_dict",
    "key_secret_name",
    "key_secret_project_id",
    "is_anonymous",
    "idp_issuer_url",
    "idp_extra_parameters",
    "idp_extra_params",
    "client_id",
    "client_secret",
)


class TestGoogle(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Google:
        return Google(
            source="s",
            project="acme-lake",
            scope="https://www.googleapis.com/auth/devstorage.read_only",
            num_retries=2,
            extra={"quota_project_id": "acme-billing"},
        )


class TestLiveGoogle(LiveShapeConformance):
    @pytest.fixture
    def shape(self) -> Google:
        return Google(source="s", project="acme-lake", scope="a", num_retries=2, live=True)

    def told(self, made: ConnectionSpec) -> str:
        return Path(json.loads(made.extra or "")["credential_config_file"]).read_text()


def rendered(shape: Google, expires_at: float | None = 1_800_000_000.9) -> dict[str, Any]:
    made = shape.render(BearerToken(token=TOKEN, expires_at=expires_at), secret).fields()
    assert {name for name, value in made.items() if value is not None} == {"conn_type", "extra"}
    return json.loads(made["extra"])  # type: ignore[no-any-return]


def test_fields() -> None:
    """The extra holds what was configured under the hook's names, and what google-auth reads as a token."""
    extra = rendered(
        Google(source="s", project="acme-lake", scope="a,b", num_retries=0, extra={"quota_project_id": "q"})
    )
    held = extra.pop("credential_config_file")

    assert extra == {"project": "acme-lake", "scope": "a,b", "num_retries": 0, "quota_project_id": "q"}
    assert {name: value for name, value in held.items() if value is not None} == {
        "type": "authorized_user",
        "token": TOKEN,
        "expiry": "2027-01-15T08:00:00Z",
    }


def test_live_fields() -> None:
    """What google-auth reads lies in memory: whom to ask for tokens, with the capability as all that proves it."""
    route = TestLiveGoogle.ROUTE
    made = Google(source="s", project="p", scope="a,b", live=True, extra={"quota_project_id": "q"}).render_live(
        route, secret
    )
    extra = json.loads(made.extra or "")
    path = extra.pop("credential_config_file")

    assert extra == {"project": "p", "scope": "a,b", "quota_project_id": "q"}
    assert os.stat(path).st_nlink == 0
    assert not os.get_inheritable(int(path.rpartition("/")[2]))
    assert json.loads(Path(path).read_text()) == {
        "type": "external_account_authorized_user",
        "audience": "",
        "client_id": "airflow-ephemeral-secrets",
        "client_secret": route.capability,
        "refresh_token": route.capability,
        "token_url": route.url,
    }


def test_notes() -> None:
    """The live form has other cautions than the static one."""
    static, live = (" ".join(Google(source="s", project="p", live=live).notes()) for live in (False, True))

    assert "gcloud-aio" in static
    assert "127.0.0.1" in live
    assert "gcloud-aio" not in live


def test_credential_without_an_end() -> None:
    """google-auth takes a token without an expiry for one that is dead, so it gets one that never comes."""
    assert rendered(Google(source="s", project="p"), None)["credential_config_file"]["expiry"] == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize("key", ANOTHER_IDENTITY)
def test_no_other_identity(key: str) -> None:
    """A key that the hook takes before ours, or refuses beside ours, is a problem at load."""
    for name in (key, f"extra__google_cloud_platform__{key}"):
        found = Google(source="s", project="p", extra={name: "x"}).problems()

        assert found == [f"extra.{name}: would make the hook take another identity"]


@pytest.mark.parametrize("key", FILLED_IN)
def test_no_key_twice(key: str) -> None:
    """What a field says does not stand in the extra too."""
    assert Google(source="s", project="p", extra={key: "x"}).problems() == [f"extra.{key}: is filled in by this shape"]


def answer(host: str, request: Request) -> bytes:
    """Be Google Cloud Storage, and the service that lets one service account act as another."""
    bearer = request.headers["Authorization"].removeprefix("Bearer ")
    if host == "iamcredentials.googleapis.com" and bearer == TOKEN and REPORTER in request.target:
        return response(b'{"accessToken": "of-the-reporter", "expireTime": "2100-01-01T00:00:00Z"}')
    if host != "storage.googleapis.com" or bearer not in (TOKEN, "of-the-reporter"):
        return response(b'{"error": {"code": 401, "message": "Invalid Credentials"}}', status=401)
    return response(b'{"kind": "storage#objects", "items": [{"name": "an-object"}]}', Content_Type="application/json")


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with Internet(answer, ca_file=tmp_path_factory.mktemp("internet") / "ca.pem") as internet:
        yield internet


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the worker may write to."""
    home = tmp_path_factory.mktemp("worker")
    (home / "tmp").mkdir()
    return home


@pytest.fixture(scope="module")
def seen(internet: Internet, home: Path) -> Seen:
    """Run the hooks once."""
    provider("google")
    recipe = {"shape": "google_cloud_platform", "project": "acme-lake", "num_retries": 0}
    return work(
        "google",
        {
            "lake": {"source": "right", **recipe},
            "impersonating": {"source": "right", **recipe, "extra": {"impersonation_chain": REPORTER}},
            "wrong": {"source": "expired", **recipe},
        },
        given={"right": TOKEN},
        home=home,
        TMPDIR=str(home / "tmp"),
        **internet.environment,
    )


def test_gcs_hook(seen: Seen) -> None:
    """The stock hook lists what the token may read, in the project of the file, and so does its operator."""
    assert seen["objects"] == seen["operator"] == ["an-object"]
    assert seen["project"] == "acme-lake"


def test_impersonation(seen: Seen, internet: Internet) -> None:
    """The hook may act as another service account, for which it asks by the token."""
    assert seen["impersonated"] == ["an-object"]
    assert "Bearer of-the-reporter" in {request.headers["Authorization"] for request in internet.requests}


def test_another_token_is_refused(seen: Seen, internet: Internet) -> None:
    """The server looks at the token; google-auth then wants to refresh it, and cannot."""
    assert f"Bearer {SECRETS['EXPIRED']}" in {request.headers["Authorization"] for request in internet.requests}
    assert seen["wrong"]["error"] == "RefreshError"


def test_the_hook_keeps_what_it_read(seen: Seen) -> None:
    """A hook asks for its connection when it is made, and not again."""
    assert seen["reads"] == 0


def test_refresh_fails_here(seen: Seen, internet: Internet) -> None:
    """What insists on a refresh, as asynchronous hooks do, fails at once and asks nobody with what it holds."""
    assert (seen["refreshing"]["error"], seen["asynchronous"]["error"]) == ("RefreshError", "RefreshError")
    assert {it.target for it in internet.requests if it.method == "CONNECT"} == {
        "storage.googleapis.com:443",
        "iamcredentials.googleapis.com:443",
    }


def test_programs_get_nothing(seen: Seen) -> None:
    """A file for ``gcloud`` and the like is made of other keys only: they take the worker's own identity."""
    assert seen["file_for_programs"] is None


def test_nothing_stays_on_disk(seen: Seen, home: Path) -> None:
    """The hook writes files for its library to read; when the task ends, none of them is left."""
    assert seen["folder"] == str(home / "tmp")
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_nothing_leaks(seen: Seen) -> None:
    """No logger writes the token, however talkative, and no error tells it."""
    assert seen.leaks() == []
