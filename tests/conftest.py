"""What every test stands on: no environment of the user's, no host store of the user's, no network but loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None, database=None)
settings.load_profile("tests")

pytest_plugins = ("tests.peers.fixtures",)
pytest.register_assert_rewrite("tests.shapes.conformance")

_HOME = tempfile.mkdtemp(prefix="airflow-ephemeral-tests-")
for _name in [name for name in os.environ if name.startswith(("AWS_", "AIRFLOW", "_AIRFLOW"))]:
    del os.environ[_name]
os.environ.update(AIRFLOW_HOME=_HOME, AIRFLOW__CORE__LOAD_EXAMPLES="False", AWS_EC2_METADATA_DISABLED="true")


def pytest_unconfigure() -> None:
    """Remove the AIRFLOW_HOME of this run."""
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the tests of a module run in one process, and all that ask a real Airflow in one too."""
    alone = item.get_closest_marker("airflow") is None
    item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0] if alone else "airflow"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with a real Airflow, which takes longest."""
    items.sort(key=lambda item: item.get_closest_marker("airflow") is None)


@pytest.fixture
def ram() -> Iterator[Path]:
    """A private directory in RAM; skips where there is no tmpfs to write to."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("needs a writable /dev/shm: mount -t tmpfs tmpfs /dev/shm")
    path = Path(tempfile.mkdtemp(prefix="airflow-ephemeral-tests-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let nothing be skipped where everything a test needs is installed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
