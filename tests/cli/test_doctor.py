"""The doctor: silent when all is well; else what is wrong, why it matters and what to change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from airflow_ephemeral_secrets import document
from airflow_ephemeral_secrets.audit_file import AuditFile
from airflow_ephemeral_secrets.cli import main
from airflow_ephemeral_secrets.cli.checks import audit, packages
from airflow_ephemeral_secrets.cli.checks.finding import Finding
from airflow_ephemeral_secrets.config import from_document
from airflow_ephemeral_secrets.demo.environment import allowed
from airflow_ephemeral_secrets.installation import SESSION_FACTORY
from tests.broken import WHOLE
from tests.cli.faults import FAULTS
from tests.cli.setup import Provider, Setup

ENOUGH = 25


@pytest.fixture
def setup(tmp_path: Path, ram: Path) -> Iterator[Setup]:
    with ExitStack() as stack:
        yield Setup(tmp_path, ram, stack.enter_context(Provider()), stack)


def here(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[Finding]]:
    """Ask the doctor in this process."""
    for name, value in setup.environment.items():
        monkeypatch.setenv(name, value)
    code = main.main(["doctor", "--json", *setup.arguments])
    told = capsys.readouterr()
    return code, _findings(told.out, told.err)


def apart(setup: Setup) -> tuple[int, list[Finding]]:
    """Ask the doctor as a program."""
    command = [sys.executable, "-m", "airflow_ephemeral_secrets.cli.main", "doctor", "--json", *setup.arguments]
    environment = {**allowed(), "AIRFLOW_HOME": os.environ["AIRFLOW_HOME"], **setup.environment}
    done = subprocess.run(command, cwd=setup.folder, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout, done.stderr
    return done.returncode, _findings(done.stdout, done.stderr)


def _findings(out: str, err: str) -> list[Finding]:
    assert "canary" not in out + err
    return [Finding(**finding) for finding in json.loads(out)]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A fault is named, with why it matters and what to change, and nothing else is."""
    fault = FAULTS[name]
    fault.make(setup)
    setup.write()
    code, found = apart(setup) if fault.apart else here(setup, monkeypatch, capsys)

    unusable = any(check == "config" or "does not start" in words for check, words in fault.said)
    assert code == (2 if unusable else 1)
    assert [finding.check for finding in found] == [check for check, _ in fault.said], found
    for finding, (_, words) in zip(found, fault.said, strict=True):
        assert words in finding.what
        assert finding.why
        assert finding.mend


def test_there_are_faults_enough() -> None:
    """The table is as long as was promised."""
    assert len(FAULTS) >= ENOUGH


def test_nothing_to_mend(setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a clean set-up it finds nothing and exits 0, minting included."""
    setup.arguments.append("--mint")
    setup.write()
    assert here(setup, monkeypatch, capsys) == (0, [])
    assert not setup.audit.exists() or setup.audit.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("executor", "teams", "found"),
    [
        ("LocalExecutor", "False", True),
        ("CeleryExecutor, LocalExecutor", "False", True),
        ("near:LocalExecutor,CeleryExecutor", "False", True),
        ("airflow.executors.local_executor.LocalExecutor", "False", True),
        ("CeleryExecutor;hr=KubernetesExecutor,LocalExecutor", "True", True),
        ("CeleryExecutor;hr=LocalExecutor", "False", False),
        ("LocalExecutor:plugins.Elsewhere", "False", False),
        ("CeleryExecutor", "False", False),
    ],
)
def test_local_executor_is_found(
    setup: Setup,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    executor: str,
    teams: str,
    found: bool,
) -> None:
    """The executors are read as Airflow reads them: several, with aliases or modules, or of teams if there are any."""
    FAULTS["local executor with workers alone"].make(setup)
    setup.environment |= {"AIRFLOW__CORE__EXECUTOR": executor, "AIRFLOW__CORE__MULTI_TEAM": teams}
    setup.write()
    assert bool(here(setup, monkeypatch, capsys)[1]) == found


def test_audit_file_that_can_only_be_written(setup: Setup) -> None:
    """An audit file that may not be read takes no line, for it would not be seen whether the last one is whole."""
    path = setup.public() / "audit.jsonl"
    path.touch(0o200)
    nobody = 65_534 if os.geteuid() == 0 else os.geteuid()
    os.chown(path, nobody, -1)
    us = os.geteuid()
    os.seteuid(nobody)
    try:
        (finding,) = audit.file(str(path))
        with pytest.raises(PermissionError):
            AuditFile(str(path)).write(b"{}")
    finally:
        os.seteuid(us)
    assert "permission denied" in finding.what


def test_files_that_a_folder_keeps_from_others(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody else reaches a file in a folder that is closed to them, whatever its own mode."""
    setup.folder.chmod(0o700)
    setup.audit.touch()
    setup.write()
    for file in (setup.secret, setup.audit, setup.file):
        file.chmod(0o666)
    assert here(setup, monkeypatch, capsys) == (0, [])


def test_our_own_session_factory(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The factory of sessions that the documentation recommends is nothing to mend."""
    setup.environment["AIRFLOW__AWS__SESSION_FACTORY"] = SESSION_FACTORY
    setup.write()
    assert here(setup, monkeypatch, capsys) == (0, [])


def test_airflow_is_not_started(setup: Setup) -> None:
    """It reads Airflow's settings, and leaves its database and its logging alone."""
    setup.write()
    script = (
        "import sys; from airflow_ephemeral_secrets.cli.main import main; main(['doctor']);"
        "import airflow.settings as s; print(s.engine, 'airflow.sdk.execution_time.task_runner' in sys.modules)"
    )
    environment = {**allowed(), "AIRFLOW_HOME": os.environ["AIRFLOW_HOME"], **setup.environment}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["None", "False"]


def test_as_text(setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """For people each finding is three lines, and all being well is one."""
    for name, value in setup.environment.items():
        monkeypatch.setenv(name, value)
    setup.write()
    assert main.main(["doctor"]) == 0
    assert capsys.readouterr() == ("", "nothing to mend\n")
    monkeypatch.setenv("AIRFLOW__SECRETS__USE_CACHE", "True")
    assert main.main(["doctor"]) == 1
    assert [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines()] == ["settings", "why", "mend"]


def test_environment_that_does_not_steer_is_named(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever wonders why a proxy of the environment does nothing is told, and not shown its password."""
    FAULTS["provider that is not there"].make(setup)
    setup.environment["HTTPS_PROXY"] = "http://user:canary@proxy.example.com"
    setup.write()
    _, (finding,) = here(setup, monkeypatch, capsys)
    assert "network.proxy (HTTPS_PROXY of the environment steers no request of ours)" in finding.mend


def test_with_another_configuration(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --config it looks at that file, whatever backend Airflow's settings name."""
    FAULTS["another backend in the settings"].make(setup)
    setup.arguments += ["--config", str(setup.file)]
    setup.write()
    assert here(setup, monkeypatch, capsys) == (0, [])


def test_recipe_for_certain_callers_is_passed_over(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --mint, a recipe that only some Dags may use is no fault, since nobody asks for it here."""
    setup.arguments.append("--mint")
    setup.write()
    assert here(setup, monkeypatch, capsys) == (0, [])
    assert not any(request.method == "POST" for request in setup.provider.requests)


@pytest.mark.parametrize(("module", "extra", "prefixes"), packages.PACKAGES)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, module: str, extra: str, prefixes: tuple[str, ...]) -> None:
    """An SDK that some source or reference needs is found missing, with the kinds that need it and the extra."""
    everything = from_document(document.parse(WHOLE["everything"]), "everything")
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == module else object())
    (finding,) = packages.extras(everything)

    assert finding.what.startswith(f"{module} is not installed, and {prefixes[0]}")
    assert finding.mend == f"pip install 'airflow-ephemeral-secrets[{extra}]'"


def test_stores_of_secrets_are_asked_too(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store of secrets that cannot be reached is found before a mint needs it."""
    place = {
        "from": "aws_secrets_manager",
        "secret_id": "s",
        "region": "eu-west-1",
        "endpoint_url": "http://127.0.0.1:9",
    }
    setup.config["secrets"]["far"] = place
    setup.write()
    _, (finding,) = here(setup, monkeypatch, capsys)

    assert finding.check == "endpoints"
