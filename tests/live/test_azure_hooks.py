"""The stock hooks of the microsoft.azure provider, each made once, at an Azure whose tokens live for seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

import jwt
import pytest

from airflow_ephemeral_secrets.demo.environment import allowed
from tests.peers.azure_services import service
from tests.peers.azure_stubs import by_imds
from tests.peers.clocks import LEEWAY
from tests.peers.installed import ROOT, provider
from tests.peers.internet import Internet
from tests.peers.oidc_provider import OidcProvider
from tests.peers.rogue import Peer, Request, Rogue, response

SECRET = "secret~of-the-application"
LIVES, LASTS = 6, 20
ARM, STORAGE = "https://management.azure.com", "https://storage.azure.com"
RESOURCES = {
    ".azure.com": ARM,
    ".core.windows.net": STORAGE,
    ".azuresynapse.net": "https://dev.azuresynapse.net",
    ".azuredatalakestore.net": "https://datalake.azure.net/",
}
CONNECTIONS: dict[str, dict[str, Any]] = {
    "azure": {"extra": {"use_azure_identity_object": True}},
    "azure_compute": {"subscription_id": "a-subscription"},
    "azure_container_instance": {"subscription_id": "a-subscription"},
    "azure_data_factory": {"subscription_id": "a-subscription", "tenant_id": "acme.onmicrosoft.com"},
    "azure_data_lake": {"account_name": "acme", "resources": [RESOURCES[".azuredatalakestore.net"]]},
    "azure_synapse": {
        "subscription_id": "a-subscription",
        "host": "https://acme.dev.azuresynapse.net",
        "resources": [RESOURCES[".azuresynapse.net"]],
    },
    "wasb": {"host": "https://acme.blob.core.windows.net", "resources": [STORAGE]},
    "adls": {"account_url": "https://acme.dfs.core.windows.net", "resources": [STORAGE]},
}
DOES = {
    "azure": True,
    "azure_compute": "running",
    "azure_container_instance": "a-container",
    "azure_data_factory": "a-factory",
    "azure_data_lake": ["a-file"],
    "azure_synapse": "running",
    "wasb": True,
    "adls": ["a-folder/a-file"],
}


class Cloud:
    """
    Services that look at each token: who signed it, for whom, and whether it lives.

    :param oidc: which signs them
    """

    def __init__(self, oidc: OidcProvider) -> None:
        self.tokens: dict[str, set[str]] = {}
        self.refused: Counter[str] = Counter()
        self._keys = jwt.PyJWKSet.from_dict(oidc.jwks())
        self._issuer = oidc.https
        self._mutex = Lock()

    def __call__(self, host: str, request: Request) -> bytes:
        token = str(request.headers["Authorization"]).removeprefix("Bearer ")
        right = self._right(host, token)
        with self._mutex:
            if right:
                self.tokens.setdefault(host, set()).add(token)
            else:
                self.refused[host] += 1
        return service(host, request, allowed=right)

    def _right(self, host: str, token: str) -> bool:
        audience = next(resource for end, resource in RESOURCES.items() if host.endswith(end))
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=self._issuer, leeway=LEEWAY)
        except jwt.InvalidTokenError:
            return False
        return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def cloud(oidc: OidcProvider) -> Cloud:
    return Cloud(oidc)


@pytest.fixture(scope="module")
def done(oidc: OidcProvider, cloud: Cloud, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the hooks once, for three lifetimes of a token and more."""
    provider("microsoft.azure")
    application = f"azure-live-{uuid4()}"
    oidc.client(application, client_secret=SECRET, token_endpoint_auth_method="client_secret_post")
    for resource in RESOURCES.values():
        oidc.resource(resource, scopes=["read"], ttl=LIVES)
    source = {"kind": "azure", "identity": "client_secret", "client_id": application, "tenant_id": "acme"}
    config = {
        "version": 1,
        "secrets": {"application": {"from": "env", "name": "APPLICATION"}},
        "sources": {
            "arm": {
                **source,
                "client_secret": {"secret": "application"},
                "authority": oidc.https,
                "scope": f"{ARM}/.default",
            }
        },
        "connections": {
            name: {"shape": name, "source": "arm", "live": True, **fields} for name, fields in CONNECTIONS.items()
        },
        "network": {"ca_file": oidc.ca_file},
        "store": {"host": "off"},
        "audit": {"file": str(home / "audit.jsonl")},
    }

    def imds(peer: Peer) -> None:
        asked = peer.read()
        named = "another" if "client_id=another" in asked.target else "its-own"
        peer.send(response(by_imds(f"token-of-{named}"), Content_Type="application/json"))

    with Internet(cloud, ca_file=home / "ca.pem") as internet, Rogue(imds) as metadata:
        environment = {
            **allowed(),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config": config}),
            "APPLICATION": SECRET,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": metadata.url,
            "HOME": str(home),
            "LASTS": str(LASTS),
            "PYTHONPATH": str(ROOT),
            **internet.environment,
        }
        command = [sys.executable, "-m", "tests.shapes.tasks.azure_live"]
        finished = subprocess.run(
            command, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=100
        )
    assert finished.returncode == 0, finished.stderr
    return finished


@pytest.fixture(scope="module")
def seen(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", DOES)
def test_hook_outlives_its_tokens(seen: dict[str, Any], name: str) -> None:
    """The hook, made once from one lookup, does the same again and again, as its tokens die."""
    assert seen["hooks"][name] == [DOES[name]]


def test_lookups(seen: dict[str, Any]) -> None:
    """One lookup is enough, for the asynchronous hook one more; that of container instances looks up each time."""
    counts = dict(seen["lookups"])
    assert counts.pop("azure_container_instance") > 3
    assert counts == {name: 2 if name == "wasb" else 1 for name in counts}


def test_asynchronous_hooks(seen: dict[str, Any]) -> None:
    """So do those that triggers use."""
    assert seen["asynchronous"] == {"wasb": [True], "azure_container_instance": ["a-container"]}


def test_no_request_was_refused(seen: dict[str, Any], cloud: Cloud) -> None:
    """Through at least three lifetimes no service has seen a token that was dead, or for another."""
    assert cloud.refused == Counter()
    assert {host: len(tokens) for host, tokens in cloud.tokens.items() if len(tokens) <= 3} == {}
    assert len(cloud.tokens) == 5


def test_triggers(seen: dict[str, Any]) -> None:
    """A trigger, made from its row as the triggerer does, succeeds."""
    events = {name: trigger["event"]["status"] for name, trigger in seen["triggers"].items()}
    assert events == {"wasb": "success", "azure_data_factory": "success", "azure_compute": "success"}


def test_tokens_are_for_what_is_listed(seen: dict[str, Any]) -> None:
    """A hook gets no token for an API that the recipe does not name, and is told what to add where."""
    told = "connection 'azure' is not for tokens for https://vault.azure.net; try: adding it to resources of azure"
    assert told in seen["forbidden"]["told"]


def test_worker_keeps_its_own_identity(seen: dict[str, Any]) -> None:
    """Whoever has no connection of ours gets what this worker's managed identity gave before."""
    assert seen["before"] == seen["after"] == {"default": "token-of-its-own", "named": "token-of-another"}


def test_nothing_leaks(seen: dict[str, Any], done: subprocess.CompletedProcess[str], cloud: Cloud) -> None:
    """No log, however talkative, no row, event or error holds a token or what was proven with."""
    tokens = [token for known in cloud.tokens.values() for token in known]
    assert [secret for secret in (*tokens, SECRET) if secret in done.stderr + done.stdout] == []


def test_each_token_is_in_the_audit(done: subprocess.CompletedProcess[str], cloud: Cloud, home: Path) -> None:
    """Every token that a service has seen was minted by a line of the audit, for a connection."""
    lines = [json.loads(line) for line in (home / "audit.jsonl").read_text().splitlines()]
    minted = {line["lease_id"]: line["conn_id"] for line in lines if line["event"] == "mint"}

    assert len(minted) >= len({token for known in cloud.tokens.values() for token in known})
    assert set(minted.values()) <= set(CONNECTIONS)
