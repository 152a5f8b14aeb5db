"""An owned name that fails never falls through to a static secret, and the task log says why in one line."""

from __future__ import annotations

import re

import pytest

from airflow_ephemeral_secrets.demo.airflow import Airflow
from tests.airflow.bad_sts import CANARY
from tests.airflow.conftest import DECOY, Run

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]

CAUSES = {
    "policy": r"its allow does not name Dag fail_closed",
    "refused": r"by source 'refused': sts:AssumeRole of arn:aws:iam::111122223333:role/reader: "
    r"AWS answered 403 AccessDenied \(request id request-1234\); try: .*trust policy",
    "timed_out": r"by source 'timed-out': .*no answer (in time|within 3 s)",
    "garbage": r"by source 'garbage': sts:AssumeRole of .*: .*(makes no sense|not a set of credentials)",
    "missing_package": r"boto3 is not installed on this worker; try: pip install 'airflow-ephemeral-secrets\[aws\]'",
    "missing_secret": r"secret file /nonexistent/secret cannot be read: no such file or directory",
    "unset_secret": r"environment variable CLIENT_SECRET is not set on this worker",
    "expired_token": r"AWS answered 400 ExpiredTokenException \(request id request-1234\)",
    "invalid_client": r"answered 401 invalid_client; try: client_id, client_secret",
    "invalid_scope": r"answered 400 invalid_scope",
    "narrow_scope": r"granted without orders\.write",
    "dead_on_arrival": r"the token's lifetime is not a number of seconds between 0 and seven days",
    "untrusted": r"its certificate is not trusted; try: network\.ca_file",
    "moved": r"a redirect \(302\), which is never followed",
    "unreachable": r"127\.0\.0\.1:9: no connection",
    "unavailable": r"AWS answered 503 ServiceUnavailable",
    "no_identity": r"this worker has no AWS identity",
    "no_metadata_server": r"this worker has no Google identity",
    "remote_logging": r"it is the connection of remote logging",
    "unknown_kwarg": r"config_path: unknown kwarg; known: config, config_file",
    "unfilled": r"the recipe needs \{team\}, which a caller in a task process does not have here",
}


@pytest.mark.parametrize("case", CAUSES)
def test_failure_shows_its_cause_and_nothing_else_answers(airflow: Airflow, case: str) -> None:
    """Each class of failure fails the task with its own cause on one line, though two decoys could have answered."""
    states = {task.task_id: task.state for task in airflow.metadata.tasks() if task.dag_id == "fail_closed"}
    log = airflow.task_log("fail_closed", case)
    error = airflow.task_error("fail_closed", case)
    assert states[case] == "failed"
    assert error.startswith(f"CredentialNotGranted: connection 'case_{case}' is not granted")
    assert re.search(CAUSES[case], error)
    assert "\n" not in error
    assert DECOY not in log
    assert CANARY not in log
    assert "canary" not in log


def test_broken_configuration_refuses_what_it_names(airflow: Airflow) -> None:
    """A configuration broken while Airflow runs refuses the names that can still be read, saying what is wrong."""
    error = airflow.task_error("broken_config", "owned")
    assert "conections: unknown key; did you mean 'connections'?" in error
    assert DECOY not in airflow.task_log("broken_config", "owned")


def test_broken_configuration_leaves_other_names_alone(airflow: Airflow) -> None:
    """A name that a broken configuration does not claim is still answered by Airflow's next backend."""
    assert f"GOT {DECOY}" in airflow.task_log("broken_config", "somebody_elses")


def test_broken_configuration_is_said_once_in_each_log(airflow: Airflow) -> None:
    """With a bad configuration a process says so once, before anything asks."""
    log = airflow.task_log("broken_config", "somebody_elses")
    assert log.count("did you mean 'connections'?") == 1


def test_parsing_is_refused(run: Run) -> None:
    """A Dag file that asks at its top level does not parse, and says why; the decoys are not used."""
    (error,) = run.import_errors
    assert "connection 'case_parse' is not granted: the Dag file asks for it while it is parsed" in error
    assert "parse.mint: true" in error


def test_server_process_is_refused(run: Run) -> None:
    """A process that speaks for the API server gets a refusal, not a secret and not the decoy."""
    shown = run.server.stdout + run.server.stderr
    assert run.server.returncode != 0
    assert "credentials are minted only where a task runs" in shown
    assert DECOY not in shown
