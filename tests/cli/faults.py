"""Faults of a set-up, each made for real, with what the doctor says of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.cli.setup import BACKEND, Setup
from tests.peers.rogue import Rogue, deaf, reply
from tests.peers.tls import serving


class Fault(NamedTuple):
    """
    One fault.

    :param make: breaks a set-up
    :param said: the check and a part of the finding's ``what``, for each finding
    :param apart: whether it takes a process of its own: what is installed, or an Airflow that does not start
    """

    make: Callable[[Setup], object]
    said: tuple[tuple[str, str], ...]
    apart: bool = False


FAULTS: dict[str, Fault] = {}


def fault(*said: tuple[str, str], apart: bool = False) -> Callable[[Callable[[Setup], object]], None]:
    """Note a fault under the name of the function that makes it."""

    def note(make: Callable[[Setup], object]) -> None:
        FAULTS[make.__name__.replace("_", " ").strip()] = Fault(make, said, apart)

    return note


# the configuration


@fault(("config", "no such file or directory"))
def no_configuration_file(setup: Setup) -> None:
    setup.environment["AIRFLOW__SECRETS__BACKEND_KWARGS"] = json.dumps({"config_file": "/nonexistent.yaml"})


@fault(("config", "file: is not a regular file"))
def configuration_is_a_directory(setup: Setup) -> None:
    setup.file.mkdir()


@fault(("config", "file: is not YAML at line 2"))
def configuration_is_not_yaml(setup: Setup) -> None:
    setup.file.write_text("version: [")


@fault(("config", "conections: unknown key; did you mean 'connections'?"), ("config", "version: required"))
def misspelt_key_and_no_version(setup: Setup) -> None:
    setup.config |= {"conections": {}, "version": None}


@fault(("config", "connections.api.source: no source 'apii' under sources; did you mean 'api'?"))
def source_that_does_not_exist(setup: Setup) -> None:
    setup.config["connections"]["api"]["source"] = "apii"


@fault(("config", "connections.api.shape: 'aws' cannot be filled from a source of kind 'static'"))
def shape_that_does_not_fit(setup: Setup) -> None:
    setup.config["connections"]["api"] = {"source": "api", "shape": "aws"}


@fault(("config", "variables.API_TOKEN.value: {password} cannot be filled by source kind 'static'"))
def placeholder_that_nothing_fills(setup: Setup) -> None:
    setup.config["variables"]["API_TOKEN"]["value"] = "{password}"


@fault(("files", "has mode 0666: others can change it"))
def configuration_that_others_can_change(setup: Setup) -> None:
    setup.file = setup.public() / "ephemeral.json"
    setup.environment["AIRFLOW__SECRETS__BACKEND_KWARGS"] = json.dumps({"config_file": str(setup.file)})
    setup.write()
    setup.file.chmod(0o666)


# Airflow's settings


@fault(("config", "give --config FILE; they name no backend"))
def no_backend_in_the_settings(setup: Setup) -> None:
    del setup.environment["AIRFLOW__SECRETS__BACKEND"]


@fault(("config", "they name airflow.secrets.environment_variables.EnvironmentVariablesBackend"))
def another_backend_in_the_settings(setup: Setup) -> None:
    other = "airflow.secrets.environment_variables.EnvironmentVariablesBackend"
    setup.environment["AIRFLOW__SECRETS__BACKEND"] = other


@fault(("settings", "Airflow does not start here: AirflowConfigException: "), apart=True)
def misspelt_class_for_the_server(setup: Setup) -> None:
    setup.environment["AIRFLOW__SECRETS__BACKEND"] = "airflow_ephemeral_secrets.EphemeralSecretBackend"


@fault(
    ("settings", "[workers] names airflow_ephemeral_secret.EphemeralSecretsBackend, which cannot be imported"),
    ("settings", "[workers] secrets_backend is airflow_ephemeral_secret.EphemeralSecretsBackend"),
    ("config", "they name airflow_ephemeral_secret.EphemeralSecretsBackend"),
)
def misspelt_package_for_the_workers(setup: Setup) -> None:
    setup.environment["AIRFLOW__WORKERS__SECRETS_BACKEND"] = "airflow_ephemeral_secret.EphemeralSecretsBackend"


@fault(("settings", "[secrets] backend kwargs are not a JSON object"), ("config", "no kwargs arrived"))
def kwargs_that_are_not_json(setup: Setup) -> None:
    setup.environment["AIRFLOW__SECRETS__BACKEND_KWARGS"] = "{'config_file': 'ephemeral.json'}"


@fault(("config", "config_fil: unknown kwarg; known: config, config_file"), ("config", "no kwargs arrived"))
def unknown_kwarg(setup: Setup) -> None:
    setup.environment["AIRFLOW__SECRETS__BACKEND_KWARGS"] = json.dumps({"config_fil": str(setup.file)})


@fault(("config", "config_path: unknown kwarg; known: config, config_file"))
def unknown_kwarg_from_a_variable(setup: Setup) -> None:
    setup.environment["AIRFLOW__SECRETS__BACKEND_KWARG__CONFIG_PATH"] = "ephemeral.json"


@fault(("settings", "[secrets] and [workers] name different configurations"))
def workers_with_another_configuration(setup: Setup) -> None:
    setup.write()
    copy = setup.folder / "copy.json"
    shutil.copy(setup.file, copy)
    setup.environment["AIRFLOW__WORKERS__SECRETS_BACKEND"] = BACKEND
    setup.environment["AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS"] = json.dumps({"config_file": str(copy)})


@fault(("settings", "[secrets] backend is not set, and LocalExecutor runs tasks"))
def local_executor_with_workers_alone(setup: Setup) -> None:
    for name in ("BACKEND", "BACKEND_KWARGS"):
        value = setup.environment.pop(f"AIRFLOW__SECRETS__{name}")
        setup.environment[f"AIRFLOW__WORKERS__SECRETS_{name}"] = value


@fault(
    ("settings", "[workers] secrets_backend is airflow.secrets.environment_variables.EnvironmentVariablesBackend"),
    ("config", "they name airflow.secrets.environment_variables.EnvironmentVariablesBackend"),
)
def workers_with_another_backend(setup: Setup) -> None:
    other = "airflow.secrets.environment_variables.EnvironmentVariablesBackend"
    setup.environment["AIRFLOW__WORKERS__SECRETS_BACKEND"] = other


@fault(("settings", "[workers] backend is set, which Airflow does not read"))
def option_of_the_other_section(setup: Setup) -> None:
    setup.environment["AIRFLOW__WORKERS__BACKEND"] = BACKEND


@fault(("settings", "[workers] secrets_backend_kwargs is set without secrets_backend"))
def kwargs_without_their_backend(setup: Setup) -> None:
    setup.environment["AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS"] = json.dumps({"config_file": "/other.yaml"})


@fault(("settings", "[secrets] use_cache is on"))
def airflows_own_cache(setup: Setup) -> None:
    setup.environment["AIRFLOW__SECRETS__USE_CACHE"] = "True"


@fault(("settings", "[logging] min_length_masked_secret is 64"))
def masks_for_long_secrets_only(setup: Setup) -> None:
    setup.environment["AIRFLOW__LOGGING__MIN_LENGTH_MASKED_SECRET"] = "64"


@fault(("settings", "[core] default_impersonation runs tasks as etl"))
def tasks_of_another_user(setup: Setup) -> None:
    setup.environment["AIRFLOW__CORE__DEFAULT_IMPERSONATION"] = "etl"


@fault(("settings", "[logging] remote_log_conn_id lake is owned by a recipe"))
def connection_of_remote_logging(setup: Setup) -> None:
    setup.environment |= {
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "lake",
    }


# what is installed


@fault(("packages", "boto3 is not installed, and aws_assume_role needs it"), apart=True)
def missing_extra(setup: Setup) -> None:
    _before_all(setup, "import sys; sys.modules['boto3'] = None")


@fault(("packages", "apache-airflow-task-sdk is 1.1.8"), apart=True)
def airflow_that_is_too_old(setup: Setup) -> None:
    _distribution(setup, "apache_airflow_task_sdk", "1.1.8")


@fault(("packages", "airflow-ephemeral-secrets 0.0.9 is installed without its entry points"), apart=True)
def provider_that_is_not_registered(setup: Setup) -> None:
    _distribution(setup, "airflow_ephemeral_secrets", "0.0.9")


def _before_all(setup: Setup, code: str) -> None:
    """Have Python run something when it starts."""
    (setup.folder / "sitecustomize.py").write_text(code)
    _first_on_path(setup)


def _distribution(setup: Setup, name: str, version: str) -> None:
    """Put the metadata of a distribution before those of the real one."""
    folder = setup.folder / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    _first_on_path(setup)


def _first_on_path(setup: Setup) -> None:
    setup.environment["PYTHONPATH"] = os.pathsep.join([str(setup.folder), *filter(None, sys.path)])


# files


@fault(("files", "secrets.token: environment variable A_TOKEN is not set on this worker"))
def variable_that_is_not_set(setup: Setup) -> None:
    del setup.environment["A_TOKEN"]


@fault(("files", "secrets.key: secret file"))
def secret_file_that_is_missing(setup: Setup) -> None:
    setup.secret.unlink()


@fault(("files", "is empty"))
def secret_file_that_is_empty(setup: Setup) -> None:
    setup.secret.write_text("\n")


@fault(("files", "has mode 0644: every user of this host reads it"))
def secret_file_that_everybody_reads(setup: Setup) -> None:
    secret = setup.public() / "secret"
    shutil.copy(setup.secret, secret)
    secret.chmod(0o644)
    setup.config["secrets"]["key"]["path"] = str(secret)


@fault(("files", "sources.lake.web_identity_token_file: file /nonexistent/token cannot be read"))
def no_web_identity_token(setup: Setup) -> None:
    setup.source["web_identity_token_file"] = "/nonexistent/token"


@fault(("audit", "there is no directory /nonexistent"))
def no_directory_for_the_audit(setup: Setup) -> None:
    setup.config["audit"]["file"] = "/nonexistent/audit.jsonl"


@fault(("audit", "is a directory"))
def audit_file_is_a_directory(setup: Setup) -> None:
    setup.audit.mkdir()


@fault(("audit", "is not a regular file"))
def audit_file_is_a_device(setup: Setup) -> None:
    setup.config["audit"]["file"] = "/dev/null"


@fault(("audit", "is a link"))
def audit_file_is_a_link(setup: Setup) -> None:
    (setup.folder / "elsewhere").touch(0o600)
    setup.audit.symlink_to(setup.folder / "elsewhere")


@fault(("audit", "text file busy"))
def audit_file_that_cannot_be_written(setup: Setup) -> None:
    program = shutil.which("sleep")
    assert program
    shutil.copy(program, setup.audit)
    running = setup.stack.enter_context(subprocess.Popen([setup.audit, "60"]))
    setup.stack.callback(running.kill)
    while Path(f"/proc/{running.pid}/exe").resolve() != setup.audit.resolve():
        time.sleep(0.01)


@fault(("audit", "has mode 0644: others read or change it"))
def audit_file_that_others_read(setup: Setup) -> None:
    audit = setup.public() / "audit.jsonl"
    audit.touch()
    audit.chmod(0o644)
    setup.config["audit"]["file"] = str(audit)


@fault(("audit", "syslog /nonexistent/log: no such file or directory"))
def syslog_that_is_not_there(setup: Setup) -> None:
    setup.config["audit"]["syslog"] = {"address": "/nonexistent/log"}


@fault(("packages", "opentelemetry's OTLP exporter is not installed, and audit.otel needs it"), apart=True)
def no_exporter_for_the_audit(setup: Setup) -> None:
    setup.config["audit"]["otel"] = True
    _before_all(setup, "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http'] = None")


# the store


@fault(("store", "is open to others (mode 0755, needs 0700)"))
def store_that_is_open_to_others(setup: Setup) -> None:
    setup.store.mkdir()
    setup.store.chmod(0o755)


@fault(("store", "not a directory"))
def store_behind_a_link(setup: Setup) -> None:
    (setup.ram / "real").mkdir(0o700)
    setup.store.symlink_to(setup.ram / "real")


@fault(("store", "not in RAM"))
def store_on_a_disk(setup: Setup) -> None:
    setup.config["store"]["host"] = str(_on_disk(setup.folder))


@fault(("store", ", not to uid "))
def store_of_another_user(setup: Setup) -> None:
    if os.geteuid() == 0:
        setup.store.mkdir(0o700)
        os.chown(setup.store, 65_534, 65_534)
    else:
        setup.config["store"]["host"] = "/dev/shm"


@fault(("store", "no such file or directory"))
def store_in_no_place(setup: Setup) -> None:
    setup.config["store"]["host"] = "/proc/self/nowhere"


def _on_disk(folder: Path) -> Path:
    """Find a place that is not in RAM, though the folder of a test may be."""
    place = folder / "store"
    place.mkdir(0o700)
    return place


# the way to the providers


@fault(("endpoints", "no connection"))
def provider_that_is_not_there(setup: Setup) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        setup.source["endpoint_url"] = f"http://127.0.0.1:{nobody.getsockname()[1]}"


@fault(("endpoints", "no answer in time"))
def provider_that_is_deaf(setup: Setup) -> None:
    setup.source["endpoint_url"] = setup.stack.enter_context(Rogue(deaf)).url


@fault(("endpoints", "its certificate is not trusted"))
def provider_of_an_unknown_authority(setup: Setup) -> None:
    setup.environment["SSL_CERT_FILE"] = str(setup.secret)
    server = setup.stack.enter_context(Rogue(reply(), tls=serving(trustme.CA())))
    setup.source["endpoint_url"] = server.url


@fault(("endpoints", "network.ca_file /nonexistent.pem cannot be used"))
def authorities_that_are_missing(setup: Setup) -> None:
    setup.config["network"] = {"ca_file": "/nonexistent.pem"}


@fault(("endpoints", "a redirect (302), which is never followed"))
def issuer_that_has_moved(setup: Setup) -> None:
    moved = setup.stack.enter_context(Rogue(reply(status=302, Location="https://elsewhere.example.com")))
    issuer = {"kind": "oauth2", "issuer": moved.url, "client_id": "a", "client_secret": {"secret": "token"}}
    setup.config["sources"]["moved"] = issuer


@fault(("endpoints", "no connection"))
def proxy_that_is_not_there(setup: Setup) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        setup.config["network"] = {"proxy": f"http://127.0.0.1:{nobody.getsockname()[1]}"}


@fault(("clock", " s behind that of"))
def clock_that_is_behind(setup: Setup) -> None:
    setup.provider.ahead = 3_600


@fault(("clock", " s ahead of that of"))
def clock_that_is_ahead(setup: Setup) -> None:
    setup.provider.ahead = -3_600


# the recipes


@fault(("recipes", "AIRFLOW_CONN_API is set, and a recipe under connections owns that name"))
def old_password_in_the_environment(setup: Setup) -> None:
    setup.environment["AIRFLOW_CONN_API"] = "http://user:canary@example.com"


@fault(("recipes", "AIRFLOW_CONN_KEYED_A is set"))
def old_password_under_a_pattern(setup: Setup) -> None:
    setup.environment["AIRFLOW_CONN_KEYED_A"] = "http://user:canary@example.com"


@fault(("recipes", "AIRFLOW_CONN_HR_API is set"), ("recipes", "AIRFLOW_VAR_HR_TOKEN is set"))
def old_passwords_under_patterns_in_capitals(setup: Setup) -> None:
    setup.config["connections"]["HR_*"] = setup.config["connections"]["api"]
    setup.config["variables"]["HR_*"] = setup.config["variables"]["API_TOKEN"]
    setup.environment |= {"AIRFLOW_CONN_HR_API": "http://user:canary@example.com", "AIRFLOW_VAR_HR_TOKEN": "canary"}


@fault(("recipes", "AIRFLOW_VAR_API_TOKEN is set, and a recipe under variables owns that name"))
def old_variable_in_the_environment(setup: Setup) -> None:
    setup.environment["AIRFLOW_VAR_API_TOKEN"] = "canary"


@fault(("recipes", "connections.keyed_hr_* is never used: keyed_* stands before it"))
def pattern_that_is_covered(setup: Setup) -> None:
    setup.config["connections"]["keyed_hr_*"] = {**setup.config["connections"]["api"], "allow": {"dags": ["hr"]}}


@fault(("recipes", "connections.api asks for the caller's team (allow.teams), and Airflow has no teams"))
def teams_that_airflow_has_not(setup: Setup) -> None:
    setup.config["connections"]["api"]["allow"] = {"teams": ["hr"]}


@fault(("recipes", "connections.lake asks for the caller's team ({team} in sources.lake)"))
def role_for_a_team(setup: Setup) -> None:
    setup.source["role_arn"] = "arn:aws:iam::111122223333:role/{team}"


@fault(("recipes", "policy.require_team is on, and Airflow has no teams"))
def policy_for_teams(setup: Setup) -> None:
    setup.config["policy"] = {"require_team": True}


@fault(("recipes", "parse.mint lets Dag parsing have credentials, and policy.deny_unknown_caller refuses it"))
def permission_that_is_taken_back(setup: Setup) -> None:
    setup.config |= {"parse": {"mint": True}, "policy": {"deny_unknown_caller": True}}


@fault(("recipes", "[aws] session_factory is plugins.Factory, which makes the sessions of lake"))
def factory_of_sessions(setup: Setup) -> None:
    setup.environment["AIRFLOW__AWS__SESSION_FACTORY"] = "plugins.Factory"


@fault(("recipes", ".netrc of this user has an entry for search.example.com"))
def netrc_in_the_place_of_a_token(setup: Setup) -> None:
    netrc = setup.folder / "netrc"
    netrc.write_text("machine search.example.com login old password canary")
    netrc.chmod(0o600)
    setup.environment["NETRC"] = str(netrc)
    setup.config["connections"]["search"] = {"source": "api", "shape": "opensearch", "host": "search.example.com"}


@fault(("recipes", "connections.events is live by oauth_cb, and callback_allowlist does not name that"))
def callback_that_airflow_does_not_allow(setup: Setup) -> None:
    servers = "kafka.example.com:9093"
    events = {"source": "api", "shape": "kafka", "bootstrap_servers": servers, "live": "oauth_cb"}
    setup.config["connections"]["events"] = events


# what only a mint shows


@fault(("mint", "role: "))
def role_that_cannot_be_assumed(setup: Setup) -> None:
    setup.arguments.append("--mint")
    setup.config["connections"]["role"] = {"source": "lake", "shape": "aws"}
    setup.environment |= {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary"}


@fault(("mint", "moved: "))
def token_endpoint_that_has_moved(setup: Setup) -> None:
    setup.arguments.append("--mint")
    moved = setup.stack.enter_context(Rogue(reply(status=302, Location="https://elsewhere.example.com")))
    setup.config["sources"]["moved"] = {
        "kind": "oauth2",
        "token_url": f"{moved.url}/token",
        "client_id": "a",
        "client_secret": {"secret": "token"},
    }
    setup.config["connections"]["moved"] = {"source": "moved", "shape": "http", "host": "https://api.example.com"}
