"""The stock hooks of the ssh and sftp providers, against OpenSSH and asyncssh."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers.installed import provider
from tests.peers.ssh_servers import OpenSsh, PasswordSsh, private, public
from tests.shapes.worker import SECRETS, Seen, work

WAYS = pytest.mark.parametrize("way", ["by_password", "by_token", "by_key", "by_reference"])
PASSPHRASE = "the-passphrase-of-a-key"
KEY, LOCKED, ANOTHER = private(), private(PASSPHRASE), private()


def recipes(keys: OpenSsh, passwords: PasswordSsh) -> dict[str, dict[str, Any]]:
    """Configure each way in, for both shapes, and ways that lead nowhere."""
    host = {"host": "127.0.0.1", "extra": {"conn_timeout": 10}}
    known = {**host, "port": passwords.port, "host_key": passwords.host_key}
    by_key = {**host, "port": keys.port, "host_key": keys.host_key, "login": keys.login}
    ways: dict[str, dict[str, Any]] = {
        "by_password": {"source": "password", **known},
        "by_token": {"source": "by_token", **known, "login": "airflow"},
        "by_key": {"source": "key", **by_key, "private_key": "{token}"},
        "by_reference": {
            "source": "by_token",
            **by_key,
            "private_key": {"secret": "GIVEN_LOCKED"},
            "private_key_passphrase": {"secret": "GIVEN_PASSPHRASE"},
        },
        "keys_of_the_worker": {"source": "wrong", **by_key},
        "wrong": {"source": "wrong", **known},
        "wrong_key": {"source": "another", **by_key, "private_key": "{token}"},
        "wrong_host": {"source": "password", **known, "host_key": keys.host_key},
        "unknown_host": {"source": "password", **host, "port": passwords.port},
        "any_host": {"source": "password", **host, "port": passwords.port, "no_host_key_check": True},
    }
    return {
        **{name: {"shape": "ssh", **fields} for name, fields in ways.items()},
        **{f"sftp_{name}": {"shape": "sftp", **fields} for name, fields in ways.items()},
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks once, on a worker whose user has a key that opens a host."""
    provider("ssh")
    provider("sftp")
    shown = tmp_path_factory.mktemp("shown")
    (shown / "a-file").touch()
    home = tmp_path_factory.mktemp("worker")
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "id_ed25519").touch(mode=0o600)
    (home / ".ssh" / "id_ed25519").write_text(KEY)
    password = SECRETS["PASSWORD"]
    with OpenSsh(public(KEY), public(LOCKED, PASSPHRASE)) as keys, PasswordSsh("airflow", password, shown) as passwords:
        return work(
            "ssh",
            recipes(keys, passwords),
            given={"by_token": password, "key": KEY, "another": ANOTHER, "locked": LOCKED, "passphrase": PASSPHRASE},
            home=home,
        )


@WAYS
def test_ssh_hook(seen: Seen, way: str) -> None:
    """The stock hooks run a command, one asynchronously, by a password, a token in its place, or a key."""
    assert seen[f"ssh {way}"].split()[-1] == "done"
    assert seen[f"async ssh {way}"].split()[-1] == "done"


@WAYS
def test_sftp_hook(seen: Seen, way: str) -> None:
    """The stock hook sees files, by the same ways; so does the asynchronous one."""
    assert seen[f"sftp {way}"] is True
    assert seen[f"async {way}"] is True


def test_operator(seen: Seen) -> None:
    """The stock operator runs a command."""
    assert seen["operator"]


def test_trigger(seen: Seen) -> None:
    """The trigger, made from its row as the triggerer does, finds a file."""
    assert seen["trigger"]["event"]["status"] == "success"
    assert "sftp_by_password" in seen["trigger"]["row"]


def test_hooks_read_once(seen: Seen) -> None:
    """Each hook that is made asks for its connection once, the asynchronous one for each thing to do."""
    assert (seen["reads"], seen["async_reads"]) == (2, 2)


@pytest.mark.parametrize("name", ["wrong", "wrong_key"])
def test_another_credential_is_refused(seen: Seen, name: str) -> None:
    """The servers look at the password and at the key."""
    assert seen[name]["error"] == "AuthenticationException"


def test_another_password_is_refused_asynchronously(seen: Seen) -> None:
    """The server looks at the password."""
    assert seen["async_wrong"]["error"] == "PermissionDenied"


def test_host_is_verified(seen: Seen) -> None:
    """A host with another key, or one that nobody knows, gets no password, unless the file says that any may."""
    assert seen["wrong_host"]["error"] == "BadHostKeyException"
    assert seen["async_wrong_host"]["error"] == "HostKeyNotVerifiable"
    assert seen["unknown_host"]["error"] == "SSHException"
    assert "not found in known_hosts" in seen["unknown_host"]["told"]
    assert seen["any_host"].split()[-1] == "done"


def test_keys_of_the_worker(seen: Seen) -> None:
    """They open nothing for the synchronous hooks; asynchronous ones try them, as the documentation warns."""
    assert seen["keys_of_the_worker"]["error"] in ("AuthenticationException", "BadAuthenticationType")
    assert seen["async_keys_of_the_worker"] is True


def test_nothing_leaks(seen: Seen) -> None:
    """No logger writes a secret, however talkative; no row of a trigger, event or error holds one."""
    assert seen.leaks() == []
