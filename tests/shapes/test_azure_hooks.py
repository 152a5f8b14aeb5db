"""The stock hooks of the microsoft.azure provider, against an Azure that looks at who asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.shapes.azure_sas import Wasb
from tests.peers.azure_services import APPLICATION, BUS, SAS, azure
from tests.peers.installed import provider
from tests.peers.internet import Internet
from tests.shapes.conformance import masked, secret
from tests.shapes.worker import Seen, work

AT_ONCE = {"extra": {"retry_total": 0}}
APP = {"tenant_id": "acme.onmicrosoft.com"}
SUBSCRIBED = {**APP, "subscription_id": "a-subscription"}
OPENED_BY_APPLICATION = {
    "azure": {**APP, "extra": {"use_azure_identity_object": True}},
    "azure_compute": SUBSCRIBED,
    "azure_container_instance": SUBSCRIBED,
    "azure_data_factory": SUBSCRIBED,
    "azure_data_lake": {**APP, "account_name": "acme"},
    "azure_synapse": {**SUBSCRIBED, "host": "https://acme.dev.azuresynapse.net"},
    "wasb": {**APP, "host": "https://acme.blob.core.windows.net", **AT_ONCE},
    "adls": {**APP, "account_url": "https://acme.dfs.core.windows.net", **AT_ONCE},
}
OPENED_BY_TOKEN = {
    "wasb_sas": ("sas", {"shape": "wasb", "host": "https://acme.blob.core.windows.net", **AT_ONCE}),
    "adls_sas": ("sas", {"shape": "adls", "account_url": "https://acme.dfs.core.windows.net", **AT_ONCE}),
    "azure_fileshare": ("sas", {"shape": "azure_fileshare", "login": "acme"}),
    "azure_service_bus": (
        "bus",
        {"shape": "azure_service_bus", "fully_qualified_namespace": "acme.servicebus.windows.net"},
    ),
}
DOES: dict[str, Any] = {
    "adls": ["a-folder/a-file"],
    "adls_sas": ["a-folder/a-file"],
    "azure": True,
    "azure_compute": "running",
    "azure_container_instance": "a-container",
    "azure_data_factory": "a-factory",
    "azure_data_lake": ["a-file"],
    "azure_fileshare": True,
    "azure_service_bus": None,
    "azure_synapse": "running",
    "wasb": True,
    "wasb_sas": True,
}


def recipes() -> dict[str, dict[str, Any]]:
    """Configure each connection twice: with the right credential and with a wrong one."""
    found = {}
    for name, fields in OPENED_BY_APPLICATION.items():
        found[name] = {"shape": name, "source": "application", **fields}
        found[f"{name}_wrong"] = {**found[name], "source": "wrong"}
    for name, (source, fields) in OPENED_BY_TOKEN.items():
        found[name] = {"source": source, **fields}
        found[f"{name}_wrong"] = {**fields, "source": f"{source}_wrong"}
    host = {"host": "acme.azurecr.io", "login": "00000000-0000-0000-0000-000000000000"}
    return {**found, "azure_container_registry": {"shape": "azure_container_registry", "source": "token", **host}}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the hooks once."""
    provider("microsoft.azure")
    home = tmp_path_factory.mktemp("worker")
    with Internet(azure, ca_file=home / "ca.pem") as internet:
        return work(
            "azure",
            recipes(),
            given={
                "application": APPLICATION,
                "sas": SAS,
                "sas_wrong": SAS.replace("sig=mGvL", "sig=Lvgm"),
                "bus": BUS,
                "bus_wrong": BUS.replace("sig=Y2Fu", "sig=uF2Y"),
            },
            home=home,
            **internet.environment,
        )


@pytest.mark.parametrize("name", DOES)
def test_hook(seen: Seen, name: str) -> None:
    """The stock hook does with the credential what it is for."""
    assert seen[name] == DOES[name]


@pytest.mark.parametrize("name", DOES)
def test_another_credential_is_refused(seen: Seen, name: str) -> None:
    """The servers look at the credential."""
    assert seen[f"{name} refused"]["error"] in (
        "ClientAuthenticationError",
        "HttpResponseError",
        "PermissionError",
    )


@pytest.mark.parametrize("name", ["wasb", "wasb_sas", "azure_data_factory", "azure_compute"])
def test_trigger(seen: Seen, name: str) -> None:
    """The trigger, made from its row as the triggerer does, succeeds; the row holds a conn_id and no secret."""
    deferred = seen[f"{name} deferred"]

    assert deferred["event"]["status"] == "success"
    assert repr(name) in deferred["row"]


def test_asynchronous_hook(seen: Seen) -> None:
    """A hook that triggers use succeeds where the trigger itself would wait for more."""
    assert seen["azure_container_instance deferred"] == "a-container"


def test_registry_hands_on(seen: Seen) -> None:
    """The registry's hook asks nobody: it hands the login on."""
    assert seen["registry"] == ["acme.azurecr.io", "00000000-0000-0000-0000-000000000000", True]


def test_which_hooks_read_again(seen: Seen) -> None:
    """Most keep the client that they made first; some make one for each thing to do."""
    assert seen["reads"] == {
        "wasb_sas": 1,
        "adls_sas": 1,
        "azure_data_factory": 1,
        "azure_fileshare": 2,
        "azure_service_bus": 2,
    }


def test_rows_and_errors_hold_no_secret(seen: Seen) -> None:
    """No row of a trigger, no event and no error tells a secret."""
    assert replace(seen, log="").leaks() == []


def test_only_urls_are_logged(seen: Seen) -> None:
    """Where every logger talks, urllib3 writes signatures, which stand in URLs; what is masked covers them."""
    spec = Wasb(source="s", host="https://acme.blob.core.windows.net").render(BearerToken(token=SAS), secret)

    assert set(seen.leaks()) == {"GIVEN_SAS", "GIVEN_SAS_WRONG"}
    assert parse_qs(SAS)["sig"][0] not in unquote(masked(seen.log, spec))
