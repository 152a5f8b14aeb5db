"""One real Airflow for all tests here: it runs the Dags of this folder once, and the tests read what became of them."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from airflow_ephemeral_secrets.demo.airflow import Airflow
from airflow_ephemeral_secrets.demo.api import OrdersApi
from tests.airflow.bad_sts import bad_sts
from tests.airflow.dags.fail_closed import CASES, ON_OTHER_WORKERS
from tests.airflow.sinks import Listening
from tests.peers.rogue import Rogue, reply
from tests.peers.tls import serving

DAGS = Path(__file__).parent / "dags"
TOKEN = "canary/token+with=odd&characters/Q7d9Xw2L"
PASSWORD = "canary password/with+odd=characters"
AUDIT = "audit.jsonl"
DECOY = "decoy.example.com"
BACKEND = "airflow_ephemeral_secrets.EphemeralSecretsBackend"
OWNED = [*(f"case_{case}" for case in (*CASES, *ON_OTHER_WORKERS)), "case_parse", "case_broken", "case_server"]
ANSWERS = {
    "throttled": (reply(status=429, Retry_After="2"), reply(b"[]")),
    "gone": (reply(status=404),),
    "rejected": (reply(status=401), reply(b"[]")),
}
"""Of gateways, one connection after the other."""
USERS = {"oskar": "op", "vera": "viewer"}
WEB_IDENTITY = "web-identity-token"


def config(sts: str, api: str, untrusted: str, home: Path, store: Path) -> dict[str, Any]:
    """A configuration in which every ``case_`` connection fails in its own way."""

    def role(endpoint: str, name: str = "reader", **fields: str) -> dict[str, str]:
        arn = f"arn:aws:iam::111122223333:role/{name}"
        url = endpoint if "://" in endpoint else sts + endpoint
        return {"kind": "aws_assume_role", "role_arn": arn, "region": "eu-west-1", "endpoint_url": url, **fields}

    def oauth2(endpoint: str) -> dict[str, Any]:
        scopes = ["orders.read", "orders.write"]
        client = {"client_id": "airflow", "client_secret": {"secret": "password"}}
        return {"kind": "oauth2", "token_url": f"{sts}/oauth/{endpoint}", "scopes": scopes, **client}

    def http(source: str) -> dict[str, Any]:
        return {"source": source, "shape": "http", "host": api}

    def aws(source: str) -> dict[str, object]:
        return {"source": source, "shape": "aws"}

    return {
        "version": 1,
        "secrets": {
            "token": {"from": "env", "name": "API_TOKEN_OF_THE_WORKER"},
            "password": {"from": "env", "name": "PASSWORD_OF_THE_WORKER"},
            "absent": {"from": "file", "path": "/nonexistent/secret"},
            "unset": {"from": "env", "name": "CLIENT_SECRET"},
        },
        "sources": {
            "api": {"kind": "static", "token": {"secret": "token"}},
            "login": {"kind": "static", "username": "reader", "password": {"secret": "password"}},
            "absent": {"kind": "static", "token": {"secret": "absent"}},
            "refused": role("/refused"),
            "timed-out": role("/timed_out"),
            "garbage": role("/garbage"),
            "packageless": role("/refused", "packageless"),
            "of-a-team": role("/refused", "reader-{team}"),
            "unset": {"kind": "static", "token": {"secret": "unset"}},
            "expired": role("/expired", web_identity_token_file=str(home / WEB_IDENTITY)),
            "untrusted": role(untrusted),
            "moved": role("/moved"),
            "unreachable": role("http://127.0.0.1:9"),
            "unavailable": role("/unavailable"),
            "google": {"kind": "google", "token": "id", "audience": "https://reports.example.com"},
            "orders-wrong-secret": oauth2("invalid_client"),
            "orders-unknown-scope": oauth2("invalid_scope"),
            "orders-narrow": oauth2("narrow"),
            "orders-dead": oauth2("dead"),
            "orders": oauth2("granted"),
            "lake-reader": role("/granted", "lake-reader"),
        },
        "connections": {
            "api": {"source": "api", "shape": "http", "host": api},
            "keys": {
                "source": "login",
                "shape": "fields",
                "conn_type": "generic",
                "login": "{username}",
                "password": "{password}",
            },
            "who_*": http("api"),
            "orders": http("orders"),
            "lake": aws("lake-reader"),
            "case_policy": {**http("api"), "allow": {"dags": ["some_other_dag"]}},
            "case_refused": aws("refused"),
            "case_timed_out": aws("timed-out"),
            "case_garbage": aws("garbage"),
            "case_missing_package": aws("packageless"),
            "case_missing_secret": http("absent"),
            "case_unset_secret": http("unset"),
            "case_unfilled": aws("of-a-team"),
            "case_expired_token": aws("expired"),
            "case_invalid_client": http("orders-wrong-secret"),
            "case_invalid_scope": http("orders-unknown-scope"),
            "case_narrow_scope": http("orders-narrow"),
            "case_dead_on_arrival": http("orders-dead"),
            "case_untrusted": aws("untrusted"),
            "case_moved": aws("moved"),
            "case_unreachable": aws("unreachable"),
            "case_unavailable": aws("unavailable"),
            "case_no_identity": aws("refused"),
            "case_no_metadata_server": http("google"),
            "case_remote_logging": aws("refused"),
            "case_unknown_kwarg": aws("refused"),
            **{f"case_{case}": http("api") for case in ("parse", "broken", "server")},
        },
        "variables": {"API_TOKEN": {"source": "api", "value": "{token}"}},
        "network": {"deadline": "20s"},
        "store": {"host": str(store)},
        "audit": {"file": str(home / AUDIT)},
    }


class Run(NamedTuple):
    """
    An Airflow in which all Dags have run, and what was seen while its configuration was still good.

    :param import_errors: of the Dag files
    :param counted: what StatsD heard
    :param server: what ``airflow connections get`` said, which speaks as the API server does
    :param passwords: of its users
    """

    airflow: Airflow
    import_errors: list[str]
    counted: list[bytes]
    server: subprocess.CompletedProcess[str]
    passwords: dict[str, str]


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Run all Dags: first with a good configuration, then without a store, then with a broken configuration."""
    with ExitStack() as stack:
        sts = stack.enter_context(bad_sts())
        api = stack.enter_context(OrdersApi(TOKEN))
        untrusted = stack.enter_context(Rogue(reply(), tls=serving(trustme.CA())))
        decoy = json.dumps({"conn_type": "http", "host": DECOY})
        environment = {
            "API_TOKEN_OF_THE_WORKER": TOKEN,
            "PASSWORD_OF_THE_WORKER": PASSWORD,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "canary-secret-access-key-of-the-worker",
            "AWS_EC2_METADATA_DISABLED": "true",
            **{f"AIRFLOW_CONN_{conn_id.upper()}": decoy for conn_id in [*OWNED, "not_ours"]},
        }
        listening = stack.enter_context(Listening())
        options = {"metrics": listening.options["metrics"]}
        real = stack.enter_context(
            Airflow([DAGS], environment=environment, options=options, triggerer=True, parallelism=4)
        )
        store = Path("/dev/shm") / real.home.name
        stack.callback(shutil.rmtree, store, ignore_errors=True)
        (real.home / WEB_IDENTITY).write_text("canary-web-identity-token")
        path = real.home / "ephemeral.yaml"
        good = config(sts, api.url, untrusted.url, real.home, store)
        for conn_id, scripts in ANSWERS.items():
            gateway = stack.enter_context(Rogue(*scripts))
            good["connections"][conn_id] = {"source": "api", "shape": "http", "host": gateway.url}
        path.write_text(json.dumps(good))
        kwargs = json.dumps({"config_file": path.name})
        passwords = _passwords(real)
        real.start({"secrets": {"backend": BACKEND, "backend_kwargs": kwargs}, "core": _users(real)}, timeout=240)
        _import_decoys(real)
        real.wait(["fail_closed", "granted", "orders_sync", "contexts", "gateway_retries"], timeout=180, parsed=False)
        _await_callback(real)
        import_errors = real.metadata.import_errors()
        server = real.run("connections", "get", "case_server", "--output", "json")
        for dag_id, worse in (
            ("store_unusable", {"store": {"host": str(store / "missing" / "store")}}),
            ("broken_config", {"conections": {}}),
        ):
            path.write_text(json.dumps({**good, **worse}))
            real.run("dags", "trigger", dag_id)
            real.wait([dag_id], timeout=60, parsed=False)
        path.write_text(json.dumps(good))
        yield Run(real, import_errors, listening.packets, server, passwords)


@pytest.fixture(scope="session")
def airflow(run: Run) -> Airflow:
    """The Airflow of that run."""
    return run.airflow


def _await_callback(real: Airflow) -> None:
    """Wait for the Dag processor, which runs the callbacks of a Dag when it comes to it."""
    for _ in range(300):
        if b"who_dag_callback" in (real.home / AUDIT).read_bytes():
            return
        time.sleep(0.2)


def _import_decoys(real: Airflow) -> None:
    """Put a connection of each owned name into the metadata database."""
    file = real.home / "decoys.json"
    file.write_text(json.dumps({conn_id: {"conn_type": "http", "host": DECOY} for conn_id in OWNED}))
    done = real.run("connections", "import", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert real.metadata.size("connection") == len(OWNED)


def _passwords(real: Airflow) -> dict[str, str]:
    """Give each user a password, where the simple auth manager looks for them."""
    passwords = {user: secrets.token_urlsafe(12) for user in USERS}
    (real.home / "passwords.json").write_text(json.dumps(passwords))
    return passwords


def _users(real: Airflow) -> dict[str, str]:
    """Have users log in, rather than let everybody be an administrator."""
    return {
        "simple_auth_manager_all_admins": "False",
        "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "simple_auth_manager_passwords_file": str(real.home / "passwords.json"),
    }
