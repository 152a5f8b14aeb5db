"""
The error gallery of the documentation is what the task log says, word for word.

``WRITE_GALLERY=1`` in the environment writes the page anew instead of comparing.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path

import pytest

from tests.airflow.conftest import Run
from tests.airflow.dags.fail_closed import CASES, ON_OTHER_WORKERS

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]

PAGE = Path(__file__).parents[2] / "docs" / "errors-gallery.md"
BLOCK = re.compile(r"^(\((\w+)\)=\n.*?^```text\n)(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = {case: " ".join(text.split()) for _, case, text in BLOCK.findall(PAGE.read_text())}
ENOUGH = 20
WIDTH = 110


def said(run: Run, case: str) -> str:
    """Give what Airflow said, the same on every machine."""
    home = str(run.airflow.home)
    words = _words(run, case).replace(home, "/opt/airflow").replace(run.airflow.home.name, "airflow-ephemeral-50000")
    words = re.sub(r"127\.0\.0\.1:\d{2,}", "127.0.0.1:8080", words)
    return re.sub(r"no (whole )?answer (in time|within \d+ s)", "no answer in time", words)


def _words(run: Run, case: str) -> str:
    if case == "parse":
        return _error(run.import_errors[0])
    if case == "server":
        return _error(run.server.stderr)
    if case == "broken_config":
        return run.airflow.task_error("broken_config", "owned")
    if case == "store_unusable":
        lines = map(json.loads, run.airflow.task_log("store_unusable", "ask").splitlines())
        return next(f"{line['level']}: {line['event']}" for line in lines if "store directory" in line["event"])
    return run.airflow.task_error("fail_closed", case)


def _error(traceback: str) -> str:
    """Find the line of a traceback that names our error."""
    return next(
        line.removeprefix("airflow_ephemeral_secrets.backend.")
        for line in reversed(traceback.splitlines())
        if line.startswith("airflow_ephemeral_secrets.backend.CredentialNotGranted: ")
    )


@pytest.fixture(scope="module", autouse=True)
def _written(run: Run) -> None:
    """Write the page anew where that is asked for."""
    if os.environ.get("WRITE_GALLERY"):

        def block(match: re.Match[str]) -> str:
            SHOWN[match[2]] = said(run, match[2])
            lines = textwrap.wrap(SHOWN[match[2]], WIDTH, break_long_words=False, break_on_hyphens=False)
            return "\n".join([match[1] + lines[0], *lines[1:], "```"])

        PAGE.write_text(BLOCK.sub(block, PAGE.read_text()))


@pytest.mark.parametrize("case", SHOWN)
def test_page_says_what_the_log_says(run: Run, case: str) -> None:
    """Whoever searches the documentation for the line of a log finds it."""
    assert said(run, case) == SHOWN[case]


def test_no_case_is_missing() -> None:
    """All that the run makes fail is in the gallery, and that is enough."""
    others = {"parse", "server", "broken_config", "store_unusable"}
    assert set(SHOWN) == {*CASES, *ON_OTHER_WORKERS, *others}
    assert len(SHOWN) >= ENOUGH
