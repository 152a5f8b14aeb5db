"""The ``http`` connection."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.http.hooks.http import _process_extra_options_from_connection
from airflow.sdk import Connection

from airflow_ephemeral_secrets.credential import BasicCredential, BearerToken
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.http import HOOK_KEYS, Http
from tests.shapes.conformance import ShapeConformance, secret

TOKEN = BearerToken(token="a-token")
LOGIN = BasicCredential(username="a-login", password="a-password")
KEY = SecretName("api-key")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker's home directory without a ``.netrc``."""
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


class TestHttp(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Http:
        return Http(
            source="s",
            host="api.test",
            port=8443,
            header="X-Token",
            prefix="",
            headers={"X-Api-Key": KEY, "X-Version": "2"},
            extra={"timeout": 5, "proxies": {"https": "http://proxy.test:3128"}},
        )


class TestUrl(ShapeConformance):
    @pytest.fixture
    def shape(self) -> Http:
        return Http(source="s", host="https://api.test/prod/v1")


def rendered(shape: Http, credential: BearerToken | BasicCredential = TOKEN) -> dict[str, Any]:
    fields = shape.render(credential, secret).fields()
    extra = json.loads(fields.pop("extra") or "{}")
    return {**{name: value for name, value in fields.items() if value is not None}, "extra": extra}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host": "api.test"}, {"host": "api.test", "schema": "https"}),
        ({"host": "api.test", "port": 8443}, {"host": "api.test", "schema": "https", "port": 8443}),
        ({"host": "https://api.test/prod"}, {"host": "https://api.test/prod"}),
        ({"host": "127.0.0.1", "schema": "http"}, {"host": "127.0.0.1", "schema": "http"}),
    ],
)
def test_bearer(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """A token stands in the Authorization header, over https unless the file says otherwise."""
    assert rendered(Http(source="s", **fields)) == {
        "conn_type": "http",
        **expected,
        "extra": {"Authorization": "Bearer a-token"},
    }


def test_basic() -> None:
    """A login and password stand where the hook makes a Basic header of them, and in no header of ours."""
    assert rendered(Http(source="s", host="api.test"), LOGIN) == {
        "conn_type": "http",
        "host": "api.test",
        "schema": "https",
        "login": "a-login",
        "password": "a-password",
        "extra": {},
    }


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"prefix": "Token "}, {"Authorization": "Token a-token"}),
        ({"header": "X-Api-Key", "prefix": ""}, {"X-Api-Key": "a-token"}),
        (
            {"headers": {"Ocp-Apim-Subscription-Key": KEY, "X-Version": "2"}},
            {"Authorization": "Bearer a-token", "Ocp-Apim-Subscription-Key": "secret-of-api-key", "X-Version": "2"},
        ),
        ({"headers": {"X-Copy": "t={token}"}}, {"Authorization": "Bearer a-token", "X-Copy": "t=a-token"}),
    ],
)
def test_headers(fields: dict[str, Any], headers: dict[str, str]) -> None:
    """Headers are what the file says: text, the token, or a secret by reference."""
    assert rendered(Http(source="s", host="api.test", **fields))["extra"] == headers


def test_secret_of_a_header_is_masked() -> None:
    """A secret that the shape adds is masked like those of the credential."""
    spec = Http(source="s", host="api.test", headers={"X-Key": KEY}).render(TOKEN, secret)

    assert "secret-of-api-key" in spec.secrets


def test_lists_where_placeholders_may_stand() -> None:
    """The configuration checks every text at load, by its path."""
    shape = Http(source="s", host="api.test", headers={"X-Key": KEY, "X-Token": "{token}"})

    assert shape.texts() == {"headers.X-Token": "{token}"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"host": "http://api.test"}, "host"),
        ({"host": "api.test", "schema": "http"}, "host"),
        ({"host": "http://127.0.0.1.test"}, "host"),
        ({"host": "http://127.0.0.1@api.test"}, "host"),
        ({"host": "http://localhost:80\n"}, "host"),
        ({"host": "ftp://api.test"}, "host"),
        ({"host": "https://user:password@api.test"}, "host"),
        ({"host": "https://"}, "host"),
        ({"host": "https://api.test/prod", "port": 8443}, "port"),
        ({"host": "https://api.test:443", "port": 8443}, "port"),
        ({"host": "api.test", "headers": {"authorization": "x"}}, "headers.authorization"),
        ({"host": "api.test", "headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
        ({"host": "api.test", "headers": {"X-A": "1\r\nX-B: 2"}}, "headers.X-A"),
        ({"host": "api.test", "prefix": "Bearer\r\nX-B: "}, "prefix"),
        ({"host": "api.test", "extra": {"Authorization": "x"}}, "extra.Authorization"),
        ({"host": "api.test", "extra": {"authorization": "x"}}, "extra.authorization"),
        ({"host": "api.test", "headers": {"X-A": "1"}, "extra": {"x-a": "2"}}, "extra.x-a"),
        ({"host": "api.test", "extra": {"X-Version": 2}}, "extra.X-Version"),
        ({"host": "api.test", "extra": {"X-Nothing": None}}, "extra.X-Nothing"),
        ({"host": "api.test", "extra": {"X-Nested": {"a": "b"}}}, "extra.X-Nested"),
    ],
    ids=str,
)
def test_what_the_hook_would_get_wrong(fields: dict[str, Any], path: str) -> None:
    """What would break the hook, leave unprotected or stand twice is a problem at load, by its path."""
    assert {problem.partition(":")[0] for problem in Http(source="s", **fields).problems()} == {path}


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "http://localhost:8080/path"},
        {"host": "http://[::1]:8080"},
        {"host": "127.0.0.1", "schema": "http", "port": 8080},
        {"host": "https://api.test", "port": 8443},
        {"host": "api.test", "extra": {"timeout": 5, "verify": False, "trust_env": False, "max_redirects": 3}},
        {"host": "api.test", "extra": {"stream": True, "cert": ["a", "b"], "check_response": False, "proxies": {}}},
        {"host": "api.test", "extra": {"X-Text": "a header"}},
    ],
    ids=str,
)
def test_what_the_hook_gets_right(fields: dict[str, Any]) -> None:
    """Loopback needs no TLS, and the hook's own keys are of the hook's own types."""
    assert Http(source="s", **fields).problems() == []


def test_hook_takes_its_own_keys() -> None:
    """No key of extra that we take for the hook's own leaves as a header."""
    connection = Connection(conn_id="c", conn_type="http", extra=json.dumps(dict.fromkeys(HOOK_KEYS, "x")))

    assert _process_extra_options_from_connection(connection, {})[0] == {}


# .netrc


def netrc(path: Path) -> None:
    path.write_text("machine api.test login airflow password wrong\n")


@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_netrc_does_not_win(home: Path, name: str) -> None:
    """An entry of ``.netrc`` would replace our Authorization header; the hook is told not to look."""
    netrc(home / name)

    assert rendered(Http(source="s", host="api.test"))["extra"] == {
        "Authorization": "Bearer a-token",
        "trust_env": False,
    }


@pytest.mark.parametrize(
    ("machine", "host"),
    [
        ("api.test", "https://API.Test/v1"),
        ("api.test", "https://api.test:8443"),
        ("::1", "https://[::1]:8443"),
        ("default", "other.test"),
    ],
)
def test_netrc_is_read_as_requests_does(home: Path, machine: str, host: str) -> None:
    """requests looks for a name in lower case, and for an address of IPv6 without brackets."""
    entry = machine if machine == "default" else f"machine {machine}"
    (home / ".netrc").write_text(f"{entry} login airflow password wrong\n")

    assert rendered(Http(source="s", host=host))["extra"]["trust_env"] is False


@pytest.mark.parametrize("exists", [True, False])
def test_netrc_by_name(home: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    """``NETRC`` names another file, and then it alone counts."""
    netrc(home / ".netrc")
    if exists:
        netrc(home / "other")
    monkeypatch.setenv("NETRC", str(home / "other"))

    assert ("trust_env" in rendered(Http(source="s", host="api.test"))["extra"]) is exists


@pytest.mark.parametrize("chosen", [True, False])
def test_netrc_leaves_the_choice_to_the_file(home: Path, chosen: bool) -> None:
    """Whoever sets ``trust_env`` has decided."""
    netrc(home / ".netrc")
    extra = rendered(Http(source="s", host="api.test", extra={"trust_env": chosen}))["extra"]

    assert extra["trust_env"] is chosen


def test_adds_no_key_of_ours() -> None:
    """Every key that the hook does not know leaves as a header: none of ours may."""
    assert not any(os.path.exists(os.path.expanduser(name)) for name in ("~/.netrc", "~/_netrc"))
    assert rendered(Http(source="s", host="api.test"))["extra"].keys() == {"Authorization"}
    assert rendered(Http(source="s", host="api.test"), LOGIN)["extra"] == {}


def test_headers_are_text() -> None:
    """Of a rendered extra, everything that is not the hook's own key is a string."""
    extra = rendered(Http(source="s", host="api.test", headers={"X-A": "1", "X-B": KEY}, extra={"timeout": 5}))["extra"]

    assert {name for name, value in extra.items() if not isinstance(value, str)} == {"timeout"}
