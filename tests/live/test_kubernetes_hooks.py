"""Stock hooks and clients of Kubernetes, each made once, at a cluster whose tokens live for seconds."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
import trustme

from airflow_ephemeral_secrets._airflow import home
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.installation import Installation
from tests.peers.installed import ROOT, provider
from tests.peers.rogue import Peer, Rogue, Script
from tests.peers.tls import serving
from tests.shapes.test_kubernetes import cluster
from tests.shapes.worker import KEY, answer

LIVES, LASTS = 6, 13


def issuer(lives: int) -> Script:
    """Grant tokens that the cluster believes for so many seconds."""

    def script(peer: Peer) -> None:
        peer.read()
        claims = {"sub": "airflow", "jti": str(time.monotonic_ns()), "exp": int(time.time()) + lives}
        peer.send(answer({"access_token": jwt.encode(claims, KEY), "token_type": "Bearer", "expires_in": lives}))

    return script


class Place(NamedTuple):
    """
    A worker's configuration and what it leads to.

    :param folder: holds the configuration and the audit
    """

    folder: Path
    config: dict[str, Any]
    issuer: Rogue
    cluster: Rogue

    def write(self) -> str:
        """Write the configuration to its file."""
        path = self.folder / "ephemeral.json"
        path.write_text(json.dumps(self.config))
        return str(path)

    def audit(self, event: str) -> list[dict[str, Any]]:
        """Read the lines of one kind."""
        lines = [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def place(tmp_path: Path, ram: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A cluster, an issuer of tokens for it, and a configuration for both."""
    provider("cncf.kubernetes")
    authority = trustme.CA()
    pem = base64.b64encode(authority.cert_pem.bytes()).decode()
    with ExitStack() as stack:
        tokens = stack.enter_context(Rogue(issuer(getattr(request, "param", 900))))
        server = stack.enter_context(Rogue(cluster, tls=serving(authority)))
        live = {"shape": "kubernetes", "source": "tokens", "live": True, "server": server.url, "namespace": "work"}
        live["certificate_authority_data"] = pem
        config = {
            "version": 1,
            "sources": {
                "tokens": {
                    "kind": "oauth2",
                    "token_url": f"{tokens.url}/token",
                    "client_id": "airflow",
                    "client_auth": "none",
                    "attribution": "none",
                }
            },
            "connections": {
                "cluster": live,
                "for_etl": {**live, "allow": {"dags": ["etl_*"]}},
            },
            "store": {"host": str(ram)},
            "audit": {"file": str(tmp_path / "audit.jsonl")},
        }
        yield Place(tmp_path, config, tokens, server)


@pytest.mark.parametrize("place", [LIVES], indirect=True)
def test_hooks_outlive_their_tokens(place: Place) -> None:
    """
    One lookup is enough for the hooks, the asynchronous one too, and for a pod that its trigger waits for.

    The commands that clients start share what is in the host store; the trigger's row has no token.
    """
    environment = {
        **allowed(),
        "AIRFLOW_HOME": str(place.folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config_file": place.write()}),
        "HOME": str(place.folder),
        "LASTS": str(LASTS),
        "LIVES": str(LIVES),
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.shapes.tasks.kubernetes_live"],
        env=environment,
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    tokens = {str(request.headers["Authorization"]).removeprefix("Bearer ") for request in place.cluster.requests}
    row = seen["deferred"]["row"]

    assert seen["hooks"] == [["Succeeded"], ["Succeeded"]]
    assert seen["lookups"] == 2
    assert (seen["operator"], seen["deferred"]["event"]["status"]) == (None, "success")
    assert len(tokens) > 3
    assert len(place.issuer.requests) == len(place.audit("mint"))
    assert "host" in {line["from"] for line in place.audit("lookup")}
    assert "exec-credential" in row
    assert [token for token in tokens if token in row or token in done.stderr] == []


def client(place: Place, conn_id: str, caller: Caller, before_it_starts: Callable[[], None] = lambda: None) -> Any:
    """
    Make a stock client from what a lookup gives.

    :param before_it_starts: changes the configuration before the client starts the command
    """
    from kubernetes.client import ApiClient, Configuration, CoreV1Api
    from kubernetes.config import load_kube_config_from_dict

    found = Installation({"config_file": place.write()}, home(), lambda: None)
    made = found.resolver().connection(conn_id, caller)
    assert made
    before_it_starts()
    place.write()
    configuration = Configuration()
    load_kube_config_from_dict(
        json.loads(json.loads(made.extra or "")["kube_config"]), client_configuration=configuration
    )
    return CoreV1Api(ApiClient(configuration))


ETL = Caller(process="task", dag_id="etl_orders", task_id="load", run_id="r 1", team="data")


def test_command_asks_for_the_same_caller(place: Place) -> None:
    """It names the caller of the lookup: the policy lets it pass, the audit names it, and the lease is the same one."""
    assert client(place, "for_etl", ETL).read_namespaced_pod("a-pod", "work").status.phase == "Succeeded"

    told = [line["caller"] for line in place.audit("lookup")]
    facts = [[one[name] for name in ("dag_id", "task_id", "run_id", "team")] for one in told]
    assert facts == [["etl_orders", "load", "r 1", "data"]] * len(facts)
    assert len(facts) >= 2
    assert len(place.audit("mint")) == len(place.issuer.requests) == 1


def test_no_token(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Where the command gets none, the reason is in the log; the client then asks as nobody."""
    from kubernetes.client import ApiException

    def forbid() -> None:
        place.config["connections"]["for_etl"]["allow"] = {"dags": ["others"]}

    asking = client(place, "for_etl", ETL, before_it_starts=forbid)
    with pytest.raises(ApiException) as refused:
        asking.read_namespaced_pod("a-pod", "work")

    assert "its allow does not name Dag etl_orders" in caplog.text
    assert (refused.value.status, place.cluster.requests[0].headers["Authorization"]) == (401, None)


def test_nothing_is_imported_from_where_it_starts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients start it in the folder of a kubeconfig, such as /tmp, where anyone may have put a module."""
    (place.folder / "msgspec.py").write_text("raise SystemExit('imported')")
    (place.folder / "airflow_ephemeral_secrets.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(place.folder)

    assert client(place, "for_etl", ETL).read_namespaced_pod("a-pod", "work").status.phase == "Succeeded"


def test_inline_configuration(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an inline configuration, the command finds the same one in Airflow's settings."""
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND", "airflow_ephemeral_secrets.EphemeralSecretsBackend")
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS", json.dumps({"config": place.config}))
    made = Installation({"config": place.config}, home(), lambda: None).resolver().connection("for_etl", ETL)
    assert made
    (user,) = json.loads(json.loads(made.extra or "")["kube_config"])["users"]
    starts = user["user"]["exec"]
    done = subprocess.run(
        [starts["command"], *starts["args"]], capture_output=True, text=True, check=False, env={**os.environ}
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "ExecCredential"
    assert "--config" not in starts["args"]
