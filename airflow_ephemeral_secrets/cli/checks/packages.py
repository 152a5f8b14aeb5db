"""What is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

from airflow_ephemeral_secrets import __version__
from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.config import Config

PACKAGES = (
    ("boto3", "aws", ("aws_",)),
    ("azure.identity", "azure", ("azure",)),
    ("azure.keyvault.secrets", "azure", ("azure_key_vault",)),
    ("google.auth", "google", ("google",)),
    ("jwt", "oauth2", ("oauth2",)),
)
"""What kinds of sources and secret references need, with the extra that brings it."""

OURS = "airflow-ephemeral-secrets"
GROUPS = ("apache_airflow_provider", "airflow.plugins")
FLOORS = (("apache-airflow-core", "3.2.2"), ("apache-airflow-task-sdk", "1.2.2"))
"""The first releases that stop at a backend's denial."""


def extras(config: Config) -> Iterator[Finding]:
    """Find what the configured sources and secret references need and is not installed."""
    kinds = {source.kind for source in config.sources.values()} | {
        str(reference.__struct_config__.tag) for reference in config.secrets.values()
    }
    for module, extra, prefixes in PACKAGES:
        needy = sorted(kind for kind in kinds if kind.startswith(prefixes))
        if needy and not _installed(module):
            yield Finding(
                "packages",
                f"{module} is not installed, and {', '.join(needy)} {'needs' if len(needy) == 1 else 'need'} it",
                "nothing can be minted by them",
                f"pip install '{OURS}[{extra}]'",
            )


def registered() -> Iterator[Finding]:
    """Find out whether what is installed is what runs, and whether Airflow can know of it."""
    try:
        ours = metadata.distribution(OURS)
    except metadata.PackageNotFoundError:
        fault = "is not installed: its files are merely on the path"
    else:
        found = {entry.group for entry in ours.entry_points}
        missing = [group for group in GROUPS if group not in found]
        if ours.version == __version__ and not missing:
            return
        fault = f"{ours.version} is installed" + (f" without its entry points {', '.join(missing)}" if missing else "")
    yield Finding(
        "packages",
        f"{OURS} {fault}, and {__version__} runs",
        "Airflow lists no such provider, and has neither the verbs of airflow ephemeral nor the page",
        f"pip install --force-reinstall --no-deps {OURS}",
    )


def airflow() -> Iterator[Finding]:
    """Find an Airflow that is too old to stop where this backend says no."""
    from packaging.version import Version

    for name, floor in FLOORS:
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(installed) < Version(floor):
            yield Finding(
                "packages",
                f"{name} is {installed}",
                "a lookup that is refused would go on to an old password of the same name",
                f"pip install '{name}>={floor}'",
            )


def telemetry(config: Config) -> Iterator[Finding]:
    """Find out whether what the audit goes to has its package."""
    if config.audit.otel and not _installed("opentelemetry.exporter.otlp.proto.http"):
        yield Finding(
            "packages",
            "opentelemetry's OTLP exporter is not installed, and audit.otel needs it",
            "its lines are lost, and tasks go on",
            f"pip install '{OURS}[otel]'",
        )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # of the package around it, or of one that was taken away
        return False
