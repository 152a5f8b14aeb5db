"""What every test stands on: no environment of the user's, no host store of the user's, no network but loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None, database=None)
settings.load_profile("tests")

pytest_plugins = ("tests.peers.fixtures",)
pytest.register_assert_rewrite("tests.shapes.conformance")

AIRFLOW = "tests/airflow/"

_HOME = tempfile.mkdtemp(prefix="airflow-ephemeral-tests-")
for _name in [name for name in os.environ if name.startswith(("AWS_", "AIRFLOW", "_AIRFLOW"))]:
    del os.environ[_name]
os.environ.update(AIRFLOW_HOME=_HOME, AIRFLOW__CORE__LOAD_EXAMPLES="False", AWS_EC2_METADATA_DISABLED="true")


def pytest_unconfigure() -> None:
    """Remove the AIRFLOW_HOME of this run."""
    shutil.rmtree(_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: a real Airflow."""
    items.sort(key=lambda item: not item.nodeid.startswith(AIRFLOW))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes, run those of a module in one, and all that need a real Airflow too."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return AIRFLOW if nodeid.startswith(AIRFLOW) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ByModule(config, log)


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
