"""An API behind Azure API Management: two proofs on one connection, used by the stock HTTP hook and operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from airflow_ephemeral_secrets.demo.environment import allowed
from tests.peers.azure_stubs import TOKEN, by_imds, vault
from tests.peers.rogue import Peer, Rogue, reply, response
from tests.peers.tls import serving

KEY = "a-subscription-key"
SCRIPT = """
import json
from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.operators.http import HttpOperator

hook = HttpHook(method="GET", http_conn_id="crm_api").run("/v1/hook").text
operator = HttpOperator(task_id="a_task", http_conn_id="crm_api", endpoint="/v1/operator", method="GET").execute({})
print(json.dumps([hook, operator]))
"""


def gateway(peer: Peer) -> None:
    """Ask for the subscription key and for the token, as the product and the policy of the API do."""
    headers = peer.read().headers
    if headers["Ocp-Apim-Subscription-Key"] != KEY:
        peer.send(response(b'{"statusCode": 401, "message": "missing subscription key"}', status=401))
    elif headers["Authorization"] != f"Bearer {TOKEN}":
        peer.send(response(b'{"statusCode": 401, "message": "invalid JWT"}', status=401))
    else:
        peer.send(response(b"both gates are open"))


def config(key_vault: Rogue, api: Rogue, ca_file: str) -> dict[str, Any]:
    """Write the recipe as the documentation has it, with the hosts of this test."""
    return {
        "version": 1,
        "secrets": {"apim-key": {"from": "azure_key_vault", "vault_url": key_vault.url, "name": "apim-orders"}},
        "sources": {"apim-crm": {"kind": "azure", "identity": "managed", "scope": "api://crm/.default"}},
        "connections": {
            "crm_api": {
                "source": "apim-crm",
                "shape": "http",
                "host": api.url,
                "headers": {"Ocp-Apim-Subscription-Key": {"secret": "apim-key"}},
            }
        },
        "network": {"ca_file": ca_file},
        "store": {"host": "off"},
    }


@pytest.mark.parametrize(("held", "opens"), [(KEY, True), ("another-key", False)])
def test_stubs_of_azure_open_both_gates(tmp_path: Path, held: str, *, opens: bool) -> None:
    """One recipe gives the managed identity's token and the key from Key Vault to an unmodified operator."""
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    script = vault({"apim-orders": held})
    with Rogue(reply(by_imds())) as imds, Rogue(script, tls=serving(authority)) as key_vault, Rogue(gateway) as api:
        environment = {
            **allowed(),
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "airflow_ephemeral_secrets.EphemeralSecretsBackend",
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({"config": config(key_vault, api, str(ca_file))}),
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": imds.url,
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )

    assert (done.returncode == 0) is opens, done.stderr
    shown = done.stdout + done.stderr + "".join(path.read_text(errors="ignore") for path in files(tmp_path))
    assert [hidden for hidden in (TOKEN, held) if hidden in shown] == []
    if opens:
        assert json.loads(done.stdout.splitlines()[-1]) == ["both gates are open"] * 2
        assert [request.target for request in api.requests] == ["/v1/hook", "/v1/operator"]
        assert sum("Authorization" in request.headers for request in key_vault.requests) == 1
        asked = [parse_qs(urlsplit(request.target).query)["resource"] for request in imds.requests]
        assert asked == [["api://crm"], ["https://vault.azure.net"]]
    else:
        assert "401" in done.stderr
        assert [request.target for request in api.requests] == ["/v1/hook"]


def files(folder: Path) -> list[Path]:
    """List what the process has written."""
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names]
