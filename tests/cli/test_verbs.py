"""The verbs: exit codes, JSON, and that none but the helpers for other tools ever prints a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.cli import main
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.installation import Installation
from airflow_ephemeral_secrets.schema import json_schema
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from airflow_ephemeral_secrets.sources.base import Minting

GOOD = """
version: 1
secrets: {token: {from: env, name: A_TOKEN}}
sources:
  api: {kind: static, token: {secret: token}}
  lake: {kind: aws_assume_role, role_arn: "arn:aws:iam::111122223333:role/reader-{dag_id}", region: eu-west-1, ENDPOINT}
connections:
  api: {source: api, shape: http, host: "https://api.example.com"}
  lake: {source: lake, shape: aws, allow: {dags: ["etl_*"]}}
store: {host: off}
""".replace("ENDPOINT", 'endpoint_url: "http://127.0.0.1:9"')
SECRET = "canary-secret"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("A_TOKEN", SECRET)
    path = tmp_path / "ephemeral.yaml"
    path.write_text(GOOD)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.main(arguments)
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    return code, told.out, told.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["api"], 0, "none held: it is minted"),
        (["lake", "--dag-id", "etl_a", "--run-id", "r1"], 0, "role/reader-etl_a"),
        (["lake", "--dag-id", "other"], 1, "does not name Dag other"),
        (["lake"], 1, "the caller's Dag is unknown"),
        (["lake", "--task-id", "t", "--dag-id", "etl_/"], 1, "characters that are not allowed"),
        (["somebody_elses"], 1, "no recipe owns it"),
    ],
)
def test_explain(
    capsys: pytest.CaptureFixture[str], file: Path, arguments: Sequence[str], code: int, told: str
) -> None:
    """Explain says what a lookup would do for a caller: 0 if it would be granted, 1 if not."""
    got, out, _ = run(capsys, "explain", *arguments, "--config", str(file))
    assert (got, told in out) == (code, True)
    got, out, _ = run(capsys, "explain", *arguments, "--config", str(file), "--json")
    assert (got, json.loads(out)["granted"]) == (code, code == 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 1),
        (["--run-type", "scheduled", "--owner", "data-platform"], 0),
        (["--run-id", "scheduled__2027-01-15", "--owner", "data-platform"], 0),
        (["--run-id", "manual__2027-01-15", "--owner", "data-platform"], 1),
        (["--run-type", "scheduled", "--owner", "people"], 1),
    ],
)
def test_explain_for_a_run_and_an_owner(
    capsys: pytest.CaptureFixture[str], file: Path, arguments: Sequence[str], code: int
) -> None:
    """The type of the run, or an id that tells it, and the owner of the task can be given too."""
    file.write_text(GOOD.replace('dags: ["etl_*"]', 'run_types: [scheduled], owners: ["data-*"]'))
    got, out, _ = run(capsys, "explain", "lake", "--dag-id", "etl_a", *arguments, "--config", str(file))
    assert (got, "under allow." in out) == (code, code == 1 and bool(arguments))


def test_mint(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """Mint prints everything about the credential but the secret."""
    code, out, _ = run(capsys, "mint", "api", "--config", str(file), "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["source"], told["kind"], told["principal"]) == ("api", "static", "static token")
    assert len(told["lease_id"]) == 12
    code, out, _ = run(capsys, "mint", "api", "--config", str(file))
    assert "principal   static token" in out


@pytest.mark.parametrize(
    ("conn_id", "told"),
    [
        ("api", "asks nobody else; without this recipe: the environment variable AIRFLOW_CONN_API, which is set here"),
        ("other", "asks the API server: its environment and the metadata database"),
    ],
)
def test_explain_tells_who_else_there_is(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch, conn_id: str, told: str
) -> None:
    """The last step is who would answer if this backend did not."""
    monkeypatch.setenv("AIRFLOW_CONN_API", "http://decoy.example.com")
    _, out, _ = run(capsys, "explain", conn_id, "--config", str(file))
    assert out.splitlines()[-1].split(maxsplit=2)[2] == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["somebody_elses"], "no recipe owns 'somebody_elses'"),
        (["lake"], "the caller's Dag is unknown here"),
    ],
)
def test_mint_that_is_refused(
    capsys: pytest.CaptureFixture[str], file: Path, arguments: Sequence[str], told: str
) -> None:
    """A refusal is one line on stderr and exit code 1."""
    code, out, err = run(capsys, "mint", *arguments, "--config", str(file))
    assert (code, out) == (1, "")
    assert told in err
    assert err.count("\n") == 1


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """Schema prints the JSON Schema."""
    code, out, _ = run(capsys, "schema")
    assert code == 0
    assert json.loads(out) == json_schema()


@pytest.mark.parametrize("verb", ["explain", "mint"])
def test_broken_configuration(capsys: pytest.CaptureFixture[str], file: Path, verb: str) -> None:
    """A configuration with problems is exit code 2, and all of them are printed."""
    file.write_text(GOOD.replace("kind: static", "kind: statik").replace("source: lake", "source: lak"))
    code, _, err = run(capsys, verb, "api", "--config", str(file))
    assert code == 2
    assert "sources.api.kind: unknown 'statik'; did you mean 'static'?" in err
    assert "connections.lake.source: no source 'lak' under sources; did you mean 'lake'?" in err


def test_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --config and without a setting of Airflow's, the verb says what to give."""
    code, _, err = run(capsys, "explain", "api")
    assert code == 2
    assert "give --config FILE" in err


def test_airflows_own_setting_is_the_default(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --config, a verb works with what Airflow's workers would use."""
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND", "airflow_ephemeral_secrets.EphemeralSecretsBackend")
    monkeypatch.setenv("AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS", json.dumps({"config_file": str(file)}))
    assert run(capsys, "explain", "api")[0] == 0


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["mint"], ["explain", "a", "--nonsense"]])
def test_wrong_usage(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert ended.value.code == 2
    assert "usage: airflow-ephemeral" in capsys.readouterr().err


def test_verbs_under_airflow() -> None:
    """The same verbs stand under ``airflow ephemeral``, and an exit code of ours is its exit code."""
    base = [sys.executable, "-m", "airflow", "ephemeral"]
    done = subprocess.run([*base, "explain", "api"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give --config FILE" in done.stderr


def test_provider_is_known_to_airflow() -> None:
    """Airflow's provider manager lists us and our backend."""
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "airflow-ephemeral-secrets" in manager.providers
    assert "airflow_ephemeral_secrets.EphemeralSecretsBackend" in manager.secrets_backend_class_names


def test_parser_loads_no_sdk() -> None:
    """Asking for help is quick: no cloud SDK, no Airflow."""
    script = "import sys; from airflow_ephemeral_secrets.cli.main import parser; parser(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded: Any = eval(done.stdout)
    assert not {"boto3", "moto", "airflow", "urllib3"} & set(loaded)


@pytest.fixture
def shared(file: Path, ram: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation whose host store holds two leases."""
    asked: list[object] = []

    def mint(self: AwsAssumeRole, minting: Minting) -> AwsCredential:
        asked.append(minting)
        ends = minting.asked.wall + 900 + len(asked)
        return AwsCredential(
            access_key_id="ASIAX", secret_access_key=SECRET, expires_at=ends, principal=f"p{len(asked)}"
        )

    monkeypatch.setattr(AwsAssumeRole, "mint", mint)
    file.write_text(GOOD.replace("host: off", f'host: "{ram}"'))
    found = Installation({"config_file": str(file)}, _airflow.home(), lambda: None)
    for dag_id in ("etl_a", "etl_b"):
        found.resolver().connection("lake", Caller(process="task", dag_id=dag_id, run_id="r"))
    return found


def test_leases(capsys: pytest.CaptureFixture[str], file: Path, shared: Installation) -> None:
    """Leases lists what the host store holds, the soonest to end first, without a secret."""
    code, out, _ = run(capsys, "leases", "--config", str(file), "--json")
    told = json.loads(out)
    assert code == 0
    assert [(one["principal"], one["state"], one["kind"]) for one in told] == [
        ("p1", "fresh", "aws"),
        ("p2", "fresh", "aws"),
    ]
    code, out, _ = run(capsys, "leases", "--config", str(file))
    assert told[0]["lease_id"] in out.splitlines()[1]


def test_flush_one(capsys: pytest.CaptureFixture[str], file: Path, shared: Installation) -> None:
    """Flush forgets one lease in every process; that one is minted anew, the other is not."""
    _, out, _ = run(capsys, "leases", "--config", str(file), "--json")
    first = json.loads(out)[0]["lease_id"]
    code, out, _ = run(capsys, "flush", first, "--config", str(file), "--json")
    assert (code, json.loads(out)) == (0, {"forgotten": [first]})
    assert run(capsys, "flush", first, "--config", str(file))[0] == 1
    spec = shared.resolver().connection("lake", Caller(process="task", dag_id="etl_a", run_id="r"))
    other = shared.resolver().connection("lake", Caller(process="task", dag_id="etl_b", run_id="r"))
    assert spec
    assert other
    _, out, _ = run(capsys, "leases", "--config", str(file), "--json")
    assert [one["principal"] for one in json.loads(out)] == ["p2", "p3"]


def test_flush_all(capsys: pytest.CaptureFixture[str], file: Path, shared: Installation) -> None:
    """Flush --all forgets everything, and leaves an audit line for each lease."""
    audit = file.parent / "audit.jsonl"
    file.write_text(file.read_text() + f'audit: {{file: "{audit}"}}\n')
    code, out, _ = run(capsys, "flush", "--all", "--config", str(file), "--json")
    assert (code, len(json.loads(out)["forgotten"])) == (0, 2)
    assert [json.loads(line)["event"] for line in audit.read_text().splitlines()] == ["invalidation"] * 2
    assert run(capsys, "leases", "--config", str(file), "--json")[1] == "[]\n"


@pytest.mark.parametrize("verb", [["leases"], ["flush", "--all"]])
def test_no_store(capsys: pytest.CaptureFixture[str], file: Path, verb: Sequence[str]) -> None:
    """With the store switched off there is nothing to list or forget."""
    assert run(capsys, *verb, "--config", str(file))[0] == 0


LINES = (
    '{"time":"2027-01-15T08:00:02.000Z","event":"lookup","outcome":"grant","conn_id":"lake","lease_id":"0123456789ab",'
    '"from":"host","duration_ms":0.4,"principal":"role/reader","caller":{"process":"task","dag_id":"etl_a",'
    '"run_id":"r1","task_id":"copy","try_number":2,"map_index":3}}\n'
    '{"time":"2027-01-15T08:00:01.000Z","event":"lookup","outcome":"deny","conn_id":"la\\u001bke","code":"not_allowed",'
    '"reason":"its allow does not name Dag other","caller":{"process":"task","dag_id":"other","run_id":"r1"}}\n'
)


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    path.write_text(LINES)
    return path


def test_audit(capsys: pytest.CaptureFixture[str], audited: Path) -> None:
    """Audit prints who got what in order, one line each: lease, origin, duration, or why not."""
    code, out, _ = run(capsys, "audit", "--run-id", "r1", "--file", str(audited))
    head, denied, granted = out.splitlines()
    assert code == 0
    assert head.split() == ["time", "event", "outcome", "conn_id", "caller", "lease", "from", "ms", "what"]
    assert "other" in denied
    assert "not_allowed: its allow does not name Dag other" in denied
    assert "etl_a copy [3] try 2  0123456789ab  host  0.4  role/reader" in granted
    assert "\x1b" not in out


def test_audit_as_json(capsys: pytest.CaptureFixture[str], audited: Path) -> None:
    """With --json the lines are those of the file, in order."""
    code, out, _ = run(capsys, "audit", "--file", str(audited), "--json")
    assert (code, out.splitlines()) == (0, list(reversed(LINES.splitlines())))


def test_audit_as_json_of_what_is_no_text(capsys: pytest.CaptureFixture[str], audited: Path) -> None:
    """A line with bytes that are no text is printed with a mark in their place."""
    audited.write_bytes(b'{"time":"2027-01-15T08:00:01Z","event":"lookup","note":"\xff"}\n')
    code, out, _ = run(capsys, "audit", "--file", str(audited), "--json")
    assert (code, json.loads(out)["note"]) == (0, "\N{REPLACEMENT CHARACTER}")


def test_audit_says_where_no_file_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A place that holds no audit file is no empty audit: it is named."""
    code, _, err = run(capsys, "audit", "--file", str(tmp_path / "missing.jsonl"))

    assert code == 1
    assert f"no audit file at {tmp_path / 'missing.jsonl'}" in err


def test_audit_finds_nothing(capsys: pytest.CaptureFixture[str], audited: Path) -> None:
    """Where no line is wanted the exit code is 1; what cannot be read as one is counted on stderr."""
    audited.write_text(LINES + "{\n")
    code, out, err = run(capsys, "audit", "--file", str(audited), "--since", "1s", "--dag-id", "nobody")
    assert (code, len(out.splitlines())) == (1, 1)
    code, out, err = run(capsys, "audit", "--file", str(audited))
    assert (code, "1 malformed lines" in err) == (0, True)


@pytest.mark.parametrize(
    ("since", "found"), [("2027-01-15T08:00:02Z", 1), ("2027-01-15T08:00:01", 2), ("2027-01-15T10:00:02+02:00", 1)]
)
def test_audit_since(capsys: pytest.CaptureFixture[str], audited: Path, since: str, found: int) -> None:
    """A moment is of UTC unless it says otherwise."""
    os.utime(audited, (4e9, 4e9))
    _, out, _ = run(capsys, "audit", "--file", str(audited), "--json", "--since", since)
    assert len(out.splitlines()) == found


def test_audit_takes_the_file_of_the_configuration(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """Without --file it reads audit.file; where neither is set that is wrong use."""
    assert run(capsys, "audit", "--config", str(file))[0] == 2
    path = file.with_name("audit.jsonl")
    file.write_text(f"{GOOD}audit: {{file: {path}}}\n")
    run(capsys, "mint", "api", "--config", str(file))
    code, out, _ = run(capsys, "audit", "--config", str(file))
    assert (code, [line.split()[1] for line in out.splitlines()]) == (0, ["event", "mint", "lookup"])


CORRELATION = Caller(dag_id="etl_a", run_id="r1", task_id="copy", try_number=2, map_index=3).correlation_id
BY_US = {"time": "2027-01-15T08:00:05Z", "method": "GET", "path": "/orders", "status": 200, "requestId": CORRELATION}
BY_OTHERS = {**BY_US, "requestId": "r-2", "userArn": "arn:aws:iam::111122223333:user/other"}
BY_NOBODY = {**BY_US, "requestId": "r-3", "userArn": "role/reader", "time": "2027-01-19T08:00:05Z"}
"""After the credential of ``role/reader`` has been handed out, and after it has died."""


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 1, [("/orders", "correlation"), ("/orders", "nobody")]),
        (["--dag-id", "etl_a", "--conn-id", "lake"], 1, [("/orders", "correlation")]),
        (["--dag-id", "other"], 1, []),
        (["--since", "2027-01-16T00:00"], 1, [("/orders", "nobody")]),
        (["ours"], 0, [("/orders", "correlation")]),
    ],
)
def test_audit_with_the_log_of_a_gateway(
    capsys: pytest.CaptureFixture[str], audited: Path, options: list[str], code: int, told: list[tuple[str, str]]
) -> None:
    """Each call is told with the task that made it; those by nobody we know make the exit code 1."""
    ends = LINES.replace('"from":"host"', '"from":"host","expires_at":"2027-01-15T09:00:00Z"')
    audited.write_text(ends)
    os.utime(audited, (4e9, 4e9))
    log = audited.with_name("access.log")
    calls = [BY_US, BY_OTHERS] if options == ["ours"] else [BY_US, BY_OTHERS, BY_NOBODY]
    log.write_text("".join(f"{json.dumps(call)}\n" for call in calls) + "nonsense\n")
    given = [option for option in options if option != "ours"]
    arguments = ["audit", "--file", str(audited), "--gateway-log", str(log), *given]
    got, out, err = run(capsys, *arguments, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (got, [(line["path"], line["how"]) for line in lines]) == (code, told)
    assert "malformed: 1" in err
    _, out, _ = run(capsys, *arguments)
    assert out.splitlines()[0].split() == ["time", "method", "path", "status", "ms", "how", "who"]
    assert ("etl_a r1 copy [3] try 2" in out) == (("/orders", "correlation") in told)


def test_audit_without_the_log_of_a_gateway(capsys: pytest.CaptureFixture[str], audited: Path) -> None:
    """A log that cannot be read is wrong use, and named."""
    code, _, err = run(capsys, "audit", "--file", str(audited), "--gateway-log", "/none/access.log")
    assert (code, "/none/access.log" in err) == (2, True)
