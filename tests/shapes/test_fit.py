"""What does not fit together is told when the configuration is loaded, each with its path, before a task asks."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ephemeral_secrets.config import from_document
from airflow_ephemeral_secrets.errors import ConfigError
from airflow_ephemeral_secrets.shapes.kinds import SHAPES
from airflow_ephemeral_secrets.shapes.server import words
from airflow_ephemeral_secrets.sources.kinds import load

BLOBS = "https://acme.blob.core.windows.net"
TENANT = {"tenant_id": "t"}
MACHINE = {**TENANT, "subscription_id": "s"}
KUBERNETES = {"shape": "kubernetes", "server": "https://cluster.test"}
KAFKA = {"shape": "kafka", "bootstrap_servers": "kafka.test:9093"}
CANARY = "canary-in-the-file"


def problems(source: str, **connection: Any) -> list[str]:
    """Load a configuration of one connection, and say what is wrong with it, without the section."""
    raw = {
        "version": 1,
        "secrets": {"a": {"from": "env", "name": "A"}},
        "sources": {
            "token": {"kind": "static", "token": {"secret": "a"}},
            "login": {"kind": "static", "username": "a-login", "password": {"secret": "a"}},
            "session": {"kind": "aws_session", "region": "eu-west-1"},
        },
        "connections": {"c": {"source": source, **connection}},
    }
    try:
        from_document(raw, "a test")
    except ConfigError as error:
        return [problem.removeprefix("connections.c.") for problem in error.problems]
    return []


FIT: list[tuple[str, dict[str, Any]]] = [
    ("token", {"shape": "google_cloud_platform", "project": "p"}),
    ("login", {"shape": "azure", **TENANT}),
    ("login", {"shape": "azure_compute", **MACHINE}),
    ("login", {"shape": "azure_container_instance", **MACHINE}),
    ("login", {"shape": "azure_data_factory", **MACHINE}),
    ("login", {"shape": "azure_synapse", **MACHINE, "host": "https://acme.dev.azuresynapse.net"}),
    ("login", {"shape": "azure_data_lake", **TENANT, "account_name": "acme"}),
    ("token", {"shape": "azure", "live": True}),
    ("token", {"shape": "wasb", "host": BLOBS, "live": True, **TENANT}),
    ("login", {"shape": "wasb", "host": BLOBS, **TENANT}),
    ("login", {"shape": "wasb", "host": BLOBS}),
    ("token", {"shape": "wasb", "host": BLOBS}),
    ("login", {"shape": "adls", "account_url": BLOBS, **TENANT}),
    ("token", {"shape": "adls", "account_url": BLOBS}),
    ("login", {"shape": "azure_fileshare"}),
    ("token", {"shape": "azure_fileshare", "login": "acme"}),
    ("token", {"shape": "azure_service_bus", "fully_qualified_namespace": "acme.servicebus.windows.net"}),
    ("login", {"shape": "azure_container_registry", "host": "acme.azurecr.io"}),
    ("token", {"shape": "azure_container_registry", "host": "acme.azurecr.io", "login": "0"}),
    ("login", KAFKA),
    ("token", {**KAFKA, "username": "$ConnectionString"}),
    ("token", {**KAFKA, "live": True}),
    ("token", {**KAFKA, "live": "oauth_cb"}),
    ("token", {"shape": "airbyte", "host": "https://api.airbyte.com/v1/"}),
    ("login", {"shape": "docker", "host": "registry.test"}),
    ("token", {"shape": "docker", "host": "registry.test", "login": "AWS"}),
    ("token", KUBERNETES),
    ("login", {"shape": "ssh", "host": "host.test"}),
    ("login", {"shape": "ssh", "host": "fe80::1"}),
    ("token", {"shape": "sftp", "host": "host.test", "login": "a", "private_key": "{token}"}),
    ("login", {"shape": "ssh", "host": "host.test", "private_key": {"secret": "a"}}),
    ("token", {"shape": "slack"}),
    ("token", {"shape": "slackwebhook"}),
    ("token", {"shape": "github"}),
    ("login", {"shape": "smtp", "host": "mail.test"}),
    ("token", {"shape": "smtp", "host": "mail.test", "login": "a@b.test", "auth_type": "oauth2"}),
]


@pytest.mark.parametrize(("source", "connection"), FIT)
def test_fits(source: str, connection: dict[str, Any]) -> None:
    """With the fields that it needs, and a credential that it takes, a connection has no problems."""
    assert problems(source, **connection) == []


@pytest.mark.parametrize(("source", "connection"), FIT)
def test_another_credential_does_not_fit(source: str, connection: dict[str, Any]) -> None:
    """AWS keys fit none of these; the message names what the shape takes, and which shapes would fit the source."""
    (problem,) = problems("session", **connection)

    assert problem.startswith(f"shape: '{connection['shape']}' cannot be filled from a source of kind 'aws_session'")
    assert "shapes that fit this source: aws, fields" in problem


@pytest.mark.parametrize(
    ("source", "connection", "expected"),
    [
        ("token", {"shape": "wasb", "host": BLOBS, **TENANT}, "tenant_id: {username} cannot be filled"),
        ("token", {"shape": "adls", "account_url": BLOBS, **TENANT}, "tenant_id: {username} cannot be filled"),
        ("token", {"shape": "azure_fileshare"}, "login: {username} cannot be filled"),
        ("token", {"shape": "azure_container_registry", "host": "h"}, "login: {username} cannot be filled"),
        ("token", KAFKA, "username: {username} cannot be filled"),
        ("login", {**KAFKA, "live": True}, "shape: 'kafka' cannot be filled"),
        ("token", {"shape": "docker", "host": "h"}, "login: {username} cannot be filled"),
        ("token", {"shape": "ssh", "host": "h"}, "login: {username} cannot be filled"),
        ("login", {"shape": "ssh", "host": "h", "private_key": "{token}"}, "private_key: {token} cannot be filled"),
        ("token", {"shape": "smtp", "host": "h", "auth_type": "oauth2"}, "login: {username} cannot be filled"),
        ("login", {"shape": "smtp", "host": "h", "auth_type": "oauth2"}, "auth_type: {token} cannot be filled"),
        ("token", {"shape": "azure", **TENANT}, "shape: 'azure' cannot be filled"),
        ("login", {"shape": "azure", "live": True}, "shape: 'azure' cannot be filled"),
        ("login", KUBERNETES, "shape: 'kubernetes' cannot be filled"),
        ("login", {"shape": "slack"}, "shape: 'slack' cannot be filled"),
        ("login", {"shape": "google_cloud_platform", "project": "p"}, "shape: 'google_cloud_platform' cannot be"),
    ],
)
def test_does_not_fit(source: str, connection: dict[str, Any], expected: str) -> None:
    """What a credential lacks is named, with the field that needs it."""
    (problem,) = problems(source, **connection)

    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("source", "connection", "told"),
    [
        ("token", {**TENANT}, "it takes a login and password (with live: true a token);"),
        ("login", {"live": True}, "it takes a token (with live: false a login and password);"),
        ("session", {"live": True}, "it takes a token;"),
    ],
)
def test_the_other_form_would_fit(source: str, connection: dict[str, Any], told: str) -> None:
    """Where the shape's other form takes the credential, live or not, the message says so."""
    (problem,) = problems(source, shape="azure", **connection)

    assert told in problem


@pytest.mark.parametrize(
    ("source", "connection", "path"),
    [
        ("token", {"shape": "adls", "account_url": f"{BLOBS}?sig={CANARY}"}, "account_url"),
        ("token", {"shape": "wasb", "host": f"{BLOBS}?sig={CANARY}"}, "host"),
        ("token", {"shape": "wasb", "host": f"https://u:{CANARY}@h"}, "host"),
        ("token", {"shape": "github", "host": "http://github.test"}, "host"),
        ("token", {"shape": "github", "host": "https://github.test/\n"}, "host"),
        ("token", {"shape": "slack", "base_url": "http://127.0.0.1.test/"}, "base_url"),
        ("token", {"shape": "slackwebhook", "host": "https://h/{token}"}, "host"),
        ("token", {"shape": "kubernetes", "server": "http://cluster.test"}, "server"),
        ("token", {**KUBERNETES, "certificate_authority_data": CANARY * 4}, "certificate_authority_data"),
        ("token", {**KUBERNETES, "namespace": "UPPER"}, "namespace"),
        ("login", {"shape": "docker", "host": "http://registry.test"}, "host"),
        ("login", {"shape": "ssh", "host": "ssh://host.test"}, "host"),
        ("login", {"shape": "ssh", "host": "abc:22"}, "host"),
        ("login", {"shape": "ssh", "host": "h", "private_key": f"-----BEGIN {CANARY}"}, "private_key"),
        ("login", {"shape": "ssh", "host": "h", "private_key_passphrase": CANARY}, "private_key_passphrase"),
        ("login", {"shape": "ssh", "host": "h", "host_key": "ssh-dss AAAAB3NzaC1kc3MAAACBAP" + "A" * 40}, "host_key"),
        ("login", {"shape": "smtp", "host": "smtp://mail.test"}, "host"),
        ("login", {**KAFKA, "mechanism": "OAUTHBEARER"}, "mechanism"),
        ("token", {**KAFKA, "live": "oidc"}, "live"),
        ("login", {**KAFKA, "security_protocol": "PLAINTEXT"}, "security_protocol"),
        ("login", {**KAFKA, "bootstrap_servers": "a:1, b:2"}, "bootstrap_servers"),
        ("login", {"shape": "azure"}, "tenant_id"),
        ("login", {"shape": "azure_data_factory", **TENANT}, "subscription_id"),
        ("token", {"shape": "google_cloud_platform"}, "project"),
        ("token", {"shape": "google_cloud_platform", "project": "p", "num_retries": -1}, "num_retries"),
    ],
)
def test_value_is_refused(source: str, connection: dict[str, Any], path: str) -> None:
    """A value that the hook would misread, send in the clear or log, is refused; what may be secret is not shown."""
    (problem,) = problems(source, **connection)

    assert problem.startswith(f"{path}: ")
    assert CANARY not in problem


@pytest.mark.parametrize("kind", sorted({connection["shape"] for _, connection in FIT}))
def test_says_how_long_it_is_good_for(kind: str) -> None:
    """``explain`` has something to say about each: how long a task may run on it, and what its hooks give away."""
    cautions = load(SHAPES[kind]).cautions

    assert cautions
    assert all(caution == caution.strip(" .") and caution.isprintable() for caution in cautions)


def test_every_shape_of_a_platform_is_tried() -> None:
    """The table has each of the connections that it is about."""
    tried = {connection["shape"] for _, connection in FIT}
    modules = words("airbyte azure azure_sas docker github google kafka kubernetes slack smtp ssh")

    assert tried == {kind for kind, place in SHAPES.items() if place.rpartition(":")[0].rpartition(".")[2] in modules}
