"""The kinds by name, and that naming them costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.sources.base import SecretReference, Source
from airflow_ephemeral_secrets.sources.kinds import REFERENCES, SOURCES, load
from tests.sources.conformance import ReferenceConformance, SourceConformance

HEAVY = ("azure", "boto3", "botocore", "google.auth", "jwt", "moto", "msal", "requests", "urllib3")
NAMED = (".aws_session", ".demo.dags.", ".gateway.", ".ui.app", ".ui.permitted")
"""What only a Dag, a setting or the API server names, and is built on classes of Airflow and its providers."""
IMPORT_ALL = f"""
import importlib, pkgutil, sys
import airflow_ephemeral_secrets as package

for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not any(part in module.name for part in {NAMED}):
        importlib.import_module(module.name)
        found = sorted(set({HEAVY}) & set(sys.modules))
        assert not found, f"{{module.name}} loads {{found}}"
print(sum(name.startswith(package.__name__) for name in sys.modules))
"""


@pytest.mark.parametrize("kind", SOURCES)
def test_source_is_known_by_its_kind(kind: str) -> None:
    """The word in the configuration is the tag of the class it loads, and the class says what it mints."""
    source = load(SOURCES[kind])

    assert issubclass(source, Source)
    assert source.__struct_config__.tag == kind
    assert source.__doc__


@pytest.mark.parametrize("kind", REFERENCES)
def test_reference_is_known_by_its_kind(kind: str) -> None:
    """The same holds for secret references."""
    reference = load(REFERENCES[kind])

    assert issubclass(reference, SecretReference)
    assert reference.__struct_config__.tag == kind


def test_every_kind_proves_its_promises() -> None:
    """A kind without a conformance suite here does not exist."""
    suites = [
        suite
        for path in Path(__file__).parent.glob("test_*.py")
        for suite in vars(import_module(f"tests.sources.{path.stem}")).values()
        if isinstance(suite, type) and issubclass(suite, (SourceConformance, ReferenceConformance))
    ]
    covered = {hints(suite, "source") or hints(suite, "reference") for suite in suites} - {None}

    assert covered == {path.rpartition(":")[2] for path in (*SOURCES.values(), *REFERENCES.values())}


def hints(suite: type, fixture: str) -> str | None:
    found = getattr(suite, fixture, None)
    return getattr(found, "__wrapped__", found).__annotations__["return"] if found else None


def test_importing_the_package_loads_no_client() -> None:
    """Airflow imports this package in every process: clients of clouds are loaded by whoever mints."""
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
