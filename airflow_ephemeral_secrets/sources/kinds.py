"""The kinds of sources and secret references, and where other packages add theirs; loaded when they are named."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from msgspec import Struct

SOURCES = {
    "apigee": "airflow_ephemeral_secrets.sources.apigee:Apigee",
    "aws_assume_role": "airflow_ephemeral_secrets.sources.aws:AwsAssumeRole",
    "aws_codeartifact": "airflow_ephemeral_secrets.sources.aws_repositories:AwsCodeArtifact",
    "aws_ecr": "airflow_ephemeral_secrets.sources.aws_repositories:AwsEcr",
    "aws_eks": "airflow_ephemeral_secrets.sources.aws_tokens:AwsEks",
    "aws_rds_token": "airflow_ephemeral_secrets.sources.aws_tokens:AwsRdsToken",
    "aws_redshift": "airflow_ephemeral_secrets.sources.aws_redshift:AwsRedshift",
    "aws_session": "airflow_ephemeral_secrets.sources.aws:AwsSession",
    "azure": "airflow_ephemeral_secrets.sources.azure:Azure",
    "google": "airflow_ephemeral_secrets.sources.google:Google",
    "oauth2": "airflow_ephemeral_secrets.sources.oauth2:OAuth2",
    "static": "airflow_ephemeral_secrets.sources.static:Static",
}
REFERENCES = {
    "aws_secrets_manager": "airflow_ephemeral_secrets.sources.secret_refs:AwsSecretsManagerReference",
    "azure_key_vault": "airflow_ephemeral_secrets.sources.azure_key_vault:AzureKeyVaultReference",
    "env": "airflow_ephemeral_secrets.sources.secret_refs:EnvironmentReference",
    "file": "airflow_ephemeral_secrets.sources.secret_refs:FileReference",
    "google_secret_manager": "airflow_ephemeral_secrets.sources.google_secret_manager:GoogleSecretManagerReference",
}

GROUPS = {
    "secrets": "airflow_ephemeral_secrets.secrets",
    "sources": "airflow_ephemeral_secrets.sources",
    "connections": "airflow_ephemeral_secrets.shapes",
}
"""Entry point groups by which other packages add kinds, by the section of the file that names them."""


def added(section: str) -> dict[str, str]:
    """
    List the kinds that other packages add, as ``module:name`` by kind.

    It looks through all that is installed, so it is asked only for a kind that is not ours.

    :param section: of the file
    """
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=GROUPS[section])}


def load(path: str) -> Any:
    """
    Import ``module:name``.

    :raises Exception: whatever importing it raises
    """
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


class NotAKind(Exception):
    """Say why what a package adds cannot be used."""


def load_kind(kind: str, place: str, base: type[Struct]) -> type[Struct]:
    """
    Load what a kind stands for.

    :param place: ``module:name``
    :param base: what it must be
    :raises NotAKind: when it cannot be imported, or is not one
    """
    try:
        cls = load(place)
    except Exception as error:
        raise NotAKind(f"{kind!r} cannot be loaded from {place} ({type(error).__name__})") from None
    if not (isinstance(cls, type) and issubclass(cls, base) and cls.__struct_config__.tag == kind):
        raise NotAKind(f"{place} is not a {base.__name__} with the tag {kind!r}")
    return cls
