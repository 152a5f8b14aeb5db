"""One configuration per process, whatever Airflow does with backend objects; a broken one stays closed until mended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.installation import Installation, installation
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from airflow_ephemeral_secrets.sources.base import Minting

GOOD = """
version: 1
secrets: {token: {from: env, name: A_TOKEN}}
sources: {api: {kind: static, token: {secret: token}}}
connections: {api: {source: api, shape: http, host: "https://api.example.com"}}
variables: {TOKEN: {source: api, value: "{token}"}}
store: {host: off}
"""
BROKEN = GOOD.replace("kind: static", "kind: statik")
UNREADABLE = "version: [1\n"


def none() -> None:
    return None


def installed(home: Path, **kwargs: Any) -> Installation:
    return Installation(kwargs, str(home), none)


def test_relative_path_starts_at_airflow_home(tmp_path: Path) -> None:
    """A relative config_file lies in AIRFLOW_HOME."""
    (tmp_path / "ephemeral.yaml").write_text(GOOD)
    found = installed(tmp_path, config_file="ephemeral.yaml")
    assert found.error is None
    assert found.owns_connection("api")


@pytest.mark.parametrize("inline", [json.loads, str], ids=["object", "text"])
def test_inline_config(tmp_path: Path, inline: Callable[[str], Any]) -> None:
    """The document may stand in the kwargs, as an object or, from an environment variable, as text."""
    text = json.dumps({"version": 1, "sources": {}, "connections": {}})
    assert installed(tmp_path, config=inline(text)).error is None


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ({}, "no kwargs arrived"),
        ({"config_file": 5}, "config_file: expected a path"),
        ({"config_file": ""}, "config_file: expected a path"),
        ({"config_fle": "x"}, "config_fle: unknown kwarg; known: config, config_file"),
        ({"config": {"version": 1}, "config_file": "x.yaml"}, "not both"),
        ({"config": "{"}, "config: is not YAML"),
        ({"config": [1]}, "expected a mapping"),
        ({"config_file": "missing.yaml"}, "no such file"),
    ],
)
def test_bad_kwargs_close_everything(tmp_path: Path, kwargs: dict[str, Any], problem: str) -> None:
    """Kwargs from which nothing can be read refuse every name, and the reason names the kwarg."""
    found = installed(tmp_path, **kwargs)
    assert found.error
    assert problem in "; ".join(found.error.problems)
    assert found.owns_connection("anything_at_all")
    assert found.owns_variable("ANYTHING")


def test_unknown_kwarg_beside_a_good_file(tmp_path: Path) -> None:
    """An unknown kwarg is a problem even where the file is good, and then only the file's names are refused."""
    (tmp_path / "e.yaml").write_text(GOOD)
    found = installed(tmp_path, config_file="e.yaml", cache=True)
    assert found.error
    assert found.error.problems == ("cache: unknown kwarg; known: config, config_file",)
    assert found.owns_connection("api")
    assert not found.owns_connection("other")


def test_names_of_a_broken_configuration_stay_ours(tmp_path: Path) -> None:
    """While the names can be read, a broken configuration claims these and no others."""
    (tmp_path / "e.yaml").write_text(BROKEN)
    found = installed(tmp_path, config_file="e.yaml")
    assert (found.owns_connection("api"), found.owns_connection("other")) == (True, False)
    assert (found.owns_variable("TOKEN"), found.owns_variable("OTHER")) == (True, False)
    with pytest.raises(ConfigError, match="statik"):
        found.resolver()


def test_mended_configuration_is_read_again(tmp_path: Path) -> None:
    """A broken configuration is looked at again at each lookup, so mending it needs no restart."""
    file = tmp_path / "e.yaml"
    file.write_text(UNREADABLE)
    found = installed(tmp_path, config_file="e.yaml")
    assert found.owns_connection("other")
    file.write_text(GOOD)
    assert not found.owns_connection("other")
    assert found.resolver().config.where == str(file)


def test_configuration_mended_by_its_mode_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one whose owner or mode was what was wrong, which leaves its content and its date alone."""
    file = tmp_path / "e.yaml"
    file.write_text(GOOD)
    read, forbidden = document.read, [PermissionError]

    def guarded(path: str) -> Any:
        if forbidden:
            raise ConfigError(path, ["cannot be read: permission denied"])
        return read(path)

    monkeypatch.setattr(document, "read", guarded)
    found = installed(tmp_path, config_file="e.yaml")
    assert found.owns_connection("other")
    forbidden.clear()
    file.chmod(0o600)
    assert not found.owns_connection("other")
    assert found.resolver().config.where == str(file)


def test_names_of_two_configurations_stay_closed(tmp_path: Path) -> None:
    """Where a file and an inline configuration are given, neither is used, and no name of either falls open."""
    (tmp_path / "e.yaml").write_text(GOOD)
    inline = GOOD.replace("{api: {source: api, shape", "{b: {source: api, shape")
    found = installed(tmp_path, config_file="e.yaml", config=inline)

    assert all(found.owns_connection(name) for name in ("api", "b"))
    with pytest.raises(ConfigError, match="not both"):
        found.resolver()


def test_good_configuration_is_not_looked_at_again(tmp_path: Path) -> None:
    """Once loaded, a good configuration costs no disk access."""
    file = tmp_path / "e.yaml"
    file.write_text(GOOD)
    found = installed(tmp_path, config_file="e.yaml")
    assert found.owns_connection("api")
    file.unlink()
    assert found.owns_connection("api")
    assert found.error is None


def test_forked_child_sees_a_changed_file(tmp_path: Path) -> None:
    """A child forked by a long-lived parent starts with the parent's configuration only while the file is the same."""
    file = tmp_path / "e.yaml"
    file.write_text(GOOD)
    found = installation({"config_file": str(file)}, str(tmp_path), none)
    assert found.owns_connection("api")
    file.write_text(GOOD.replace("{api: {source: api, shape", "{other: {source: api, shape"))
    assert in_a_child(lambda: (found.owns_connection("api"), found.owns_connection("other"))) == "(False, True)"
    assert (found.owns_connection("api"), found.owns_connection("other")) == (True, False)


def test_forked_child_starts_with_its_memory_empty(tmp_path: Path) -> None:
    """A child has a resolver of its own."""
    file = tmp_path / "e.yaml"
    file.write_text(GOOD)
    found = installation({"config_file": str(file)}, str(tmp_path), none)
    mine = found.resolver()
    assert found.resolver() is mine
    assert in_a_child(lambda: found.resolver() is mine) == "False"
    assert found.resolver() is mine


def test_many_backends_share_one(tmp_path: Path) -> None:
    """The same kwargs are the same installation, others are another."""
    one = installation({"config": {"version": 1}}, str(tmp_path), none)
    assert installation({"config": {"version": 1}}, str(tmp_path), none) is one
    assert installation({"config": {"version": 1, "sources": {}}}, str(tmp_path), none) is not one
    assert installation({"config": {"version": 1}}, str(tmp_path / "other"), none) is not one


@pytest.mark.parametrize(("home", "mints"), [("same", 1), ("other", 2)])
def test_two_configurations_with_the_same_facts(
    tmp_path: Path, ram: Path, monkeypatch: pytest.MonkeyPatch, home: str, mints: int
) -> None:
    """Two configurations of one installation share a lease of the same facts; two installations never do."""
    asked: list[object] = []

    def mint(self: AwsAssumeRole, minting: Minting) -> AwsCredential:
        asked.append(minting)
        return AwsCredential(
            access_key_id="ASIAX", secret_access_key="s", expires_at=minting.asked.wall + 900, principal="p"
        )

    monkeypatch.setattr(AwsAssumeRole, "mint", mint)
    for name, own in (("one", "same"), ("two", home)):
        (tmp_path / f"{name}.yaml").write_text(f"""
version: 1
sources: {{{name}: {{kind: aws_assume_role, role_arn: "arn:aws:iam::111122223333:role/r", region: eu-west-1}}}}
connections: {{{name}: {{source: {name}, shape: aws}}}}
store: {{host: "{ram}"}}
""")
        found = Installation({"config_file": str(tmp_path / f"{name}.yaml")}, str(tmp_path / own), none)
        assert found.resolver().connection(name, Caller(process="script"))
    assert len(asked) == mints


def in_a_child(answer: Callable[[], object]) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, str(answer()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text
