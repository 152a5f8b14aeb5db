"""Roles assumed at STS and the worker's own identity: what arrives at AWS, and what AWS thinks of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import botocore.credentials
import pytest

from airflow_ephemeral_secrets.caller import Attribution, Caller, stamp_id
from airflow_ephemeral_secrets.credential import AwsCredential
from airflow_ephemeral_secrets.demo.cloud import ACCOUNT, BUCKET, REGION, Cloud
from airflow_ephemeral_secrets.errors import SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.sources.aws import LONGEST_TOKEN, AwsAssumeRole, AwsSession
from tests.peers.rogue import Rogue, reply
from tests.peers.sts import KEYS, LATER, PRINCIPAL, REQUEST_ID, granted
from tests.sources.asking import ROLE, ask, assume, failure, given, problems, story
from tests.sources.bad_files import CANARY, FAULTS
from tests.sources.conformance import SourceConformance
from tests.sources.conftest import KEY_ID, SECRET_KEY, SESSION

CALLER = Caller(
    process="task", dag_id="orders", task_id="load", run_id="manual__2026-01-01T00:00:00+00:00", team="sales"
)
TOKEN = "header.payload.signature"


@pytest.fixture
def sts() -> Iterator[Rogue]:
    """A server that grants whatever it is asked."""
    with Rogue(reply(granted())) as sts:
        yield sts


@pytest.fixture
def federation() -> Iterator[Rogue]:
    """The same for web identities."""
    with Rogue(reply(granted(action="AssumeRoleWithWebIdentity"))) as sts:
        yield sts


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def asked(sts: Rogue) -> Callable[[], int]:
    return lambda: sts.connections


@pytest.mark.usefixtures("worker")
class TestAssumeRole(SourceConformance):
    @pytest.fixture
    def source(self, sts: Rogue) -> AwsAssumeRole:
        return assume(
            sts.url, attribution="task", tags={"dag": "a"}, external_id="an-id", policy={"Version": "2012-10-17"}
        )


@pytest.mark.usefixtures("nobody")
class TestWebIdentity(SourceConformance):
    @pytest.fixture
    def source(self, federation: Rogue, token_file: Path) -> AwsAssumeRole:
        return assume(federation.url, web_identity_token_file=str(token_file))

    @pytest.fixture
    def asked(self, federation: Rogue) -> Callable[[], int]:
        return lambda: federation.connections


class TestContainerSession(SourceConformance):
    @pytest.fixture
    def container(self, nobody: pytest.MonkeyPatch) -> Iterator[Rogue]:
        with container(nobody) as server:
            yield server

    @pytest.fixture
    def source(self, container: Rogue) -> AwsSession:
        return AwsSession(region=REGION)

    @pytest.fixture
    def asked(self, container: Rogue) -> Callable[[], int]:
        return lambda: container.connections


def container(monkeypatch: pytest.MonkeyPatch, expiration: str = LATER) -> Rogue:
    """The credentials endpoint of ECS or EKS, and a worker that runs there."""
    keys = {**KEYS, "Token": KEYS["SessionToken"], "Expiration": expiration}
    server = Rogue(reply(json.dumps(keys).encode()))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    return server


def profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """A worker with an AWS configuration file."""
    path = tmp_path / "aws-config"
    path.write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


# What arrives at STS


@pytest.mark.usefixtures("worker")
def test_asks_for_no_more_than_configured(sts: Rogue) -> None:
    """A plain role sends the role, a session name and the duration, and nothing that needs further permissions."""
    ask(assume(sts.url, attribution="none"))

    assert sts.requests[0].form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "airflow",
        "DurationSeconds": "3600",
    }


@pytest.mark.usefixtures("worker")
def test_asks_for_all_that_is_configured(sts: Rogue) -> None:
    """Every field arrives under its name at STS, with the caller's facts filled in."""
    source = assume(
        sts.url,
        role_arn="arn:aws:iam::111122223333:role/airflow/reader-{dag_id}",
        ttl="20m",
        attribution="dag",
        external_id="{team}:7",
        source_identity="airflow-{team}",
        policy={
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "{dag_id}/*"}],
        },
        policy_arns=["arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::111122223333:policy/eu/only"],
        tags={"dag": "{dag_id}", "run": "{run_id}", "cost centre": "größe 7"},
        transitive_tags=["run", "dag"],
    )

    ask(source, caller=CALLER)

    assert sts.requests[0].form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::111122223333:role/airflow/reader-orders",
        "RoleSessionName": "orders",
        "DurationSeconds": "1200",
        "ExternalId": "sales:7",
        "SourceIdentity": "airflow-sales",
        "Policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"orders/*"}]}',
        "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "PolicyArns.member.2.arn": "arn:aws:iam::111122223333:policy/eu/only",
        "Tags.member.1.Key": "dag",
        "Tags.member.1.Value": "orders",
        "Tags.member.2.Key": "run",
        "Tags.member.2.Value": CALLER.run_id,
        "Tags.member.3.Key": "cost centre",
        "Tags.member.3.Value": "größe 7",
        "TransitiveTagKeys.member.1": "run",
        "TransitiveTagKeys.member.2": "dag",
    }


@pytest.mark.usefixtures("worker")
def test_signs_for_the_region_and_names_itself(sts: Rogue) -> None:
    """The request is signed by the worker's identity for the region's STS, and CloudTrail can tell who asked."""
    ask(assume(sts.url, region="eu-central-1"))

    headers = sts.requests[0].headers
    assert headers["Authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={KEY_ID}/")
    assert "/eu-central-1/sts/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == SESSION
    assert "airflow-ephemeral-secrets" in headers["User-Agent"].split()
    assert SECRET_KEY not in sts.requests[0].everything


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("attribution", get_args(Attribution))
def test_user_agent_names_the_stamp(sts: Rogue, attribution: Attribution) -> None:
    """CloudTrail's user agent holds what an audit line calls stamp_id, and nobody's where nobody is to be named."""
    ask(assume(sts.url, attribution=attribution), caller=CALLER)

    named = stamp_id(CALLER.stamp(attribution))
    agent = sts.requests[0].headers["User-Agent"]
    assert f"stamp/{named}" in agent.split() if named else "stamp/" not in agent


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("attribution", "name"),
    [("none", "airflow"), ("dag", "orders"), ("run", "orders.manual__"), ("task", "orders.manual__")],
)
def test_session_is_named_as_finely_as_configured(sts: Rogue, attribution: str, name: str) -> None:
    """CloudTrail names what the configuration chose to name, and the names of two tasks of a run differ."""
    for task_id in ("load", "clean"):
        caller = Caller(process="task", dag_id="orders", task_id=task_id, run_id=CALLER.run_id)
        ask(assume(sts.url, attribution=attribution), caller=caller)

    first, second = (request.form["RoleSessionName"] for request in sts.requests)
    assert first.startswith(name)
    assert (first == second) is (attribution != "task")


@pytest.mark.usefixtures("worker")
def test_takes_what_sts_grants(sts: Rogue) -> None:
    """A credential is exactly what STS answered, with the principal and the request it came from."""
    credential = ask(assume(sts.url)).credential

    assert credential == AwsCredential(
        access_key_id="ASIAMINTED",
        secret_access_key="minted/secret",
        session_token="minted+session==",
        expires_at=credential.expires_at,
        principal=PRINCIPAL,
        request_id=REQUEST_ID,
    )


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("expiration", [LATER, "9999-12-31T23:59:59Z"])
def test_is_never_held_longer_than_asked(expiration: str) -> None:
    """An expiry beyond what was asked for is not believed: our clock may be behind, or STS may be none."""
    with Rogue(reply(granted(Expiration=expiration))) as sts:
        assert ask(assume(sts.url, ttl="15m")).life == 900


@pytest.mark.usefixtures("worker")
def test_is_never_held_longer_than_granted() -> None:
    """An expiry before what was asked for counts."""
    source = assume("https://sts.test")
    made = given(source)
    with Rogue(reply(granted(Expiration=str(int(made.asked.wall) + 1_000)))) as sts:
        assert assume(sts.url).mint(made).expires_at == int(made.asked.wall) + 1_000


# Before the call


def refused_before_the_call(sts: Rogue, **fields: Any) -> str:
    error = failure(
        assume(sts.url, **fields),
        caller=Caller(process="task", **dict.fromkeys(("dag_id", "task_id", "run_id", "team"), "x" * 250)),
    )
    assert isinstance(error, SourceRefused)
    assert sts.connections == 0
    return error.code


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"role_arn": "arn:aws:iam::{dag_id}:role/reader"}, "bad_role_arn"),
        ({"role_arn": f"arn:aws:iam::111122223333:role/{'{dag_id}' * 9}"}, "bad_role_arn"),
        ({"tags": {"both": "{dag_id}{task_id}"}}, "bad_tag"),
        ({"source_identity": "x-{dag_id}"}, "bad_source_identity"),
        ({"external_id": "{dag_id}{task_id}{run_id}{team}{dag_id}"}, "bad_external_id"),
        ({"policy": {"Sid": "{dag_id}" * 9}}, "bad_policy"),
    ],
)
def test_facts_make_no_request_that_sts_cannot_take(sts: Rogue, fields: dict[str, Any], code: str) -> None:
    """A template that the caller's facts make too long is refused before the call, by the name of the field."""
    assert refused_before_the_call(sts, **fields) == code


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"role_arn": "arn:aws:iam::111122223333:role/{run_id}"}, "bad_role_arn"),
        ({"source_identity": "x-{run_id}"}, "bad_source_identity"),
    ],
)
def test_facts_bring_no_character_that_sts_cannot_take(sts: Rogue, fields: dict[str, Any], code: str) -> None:
    """A run id holds colons, which neither the name of a role nor a source identity may."""
    assert failure(assume(sts.url, **fields), caller=CALLER).code == code
    assert sts.connections == 0


ROLE_SESSIONS = ("assume-role", "assume-role-with-web-identity", "iam-role", "container-role", "sso", "login")
KEYS_OF_USERS = (
    "env",
    "shared-credentials-file",
    "config-file",
    "custom-process",
    "boto-config",
    "ec2-credentials-file",
)


def test_every_kind_of_identity_is_known() -> None:
    """botocore has no kind of identity of which we do not know whether it is a role session."""
    providers = vars(botocore.credentials).values()
    methods = {getattr(provider, "METHOD", None) for provider in providers if isinstance(provider, type)}

    assert methods - {None} == {*ROLE_SESSIONS, *KEYS_OF_USERS}


class Identity(botocore.credentials.Credentials):
    """An identity of some kind, in place of what botocore finds on a worker."""


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("method", [*ROLE_SESSIONS, *KEYS_OF_USERS])
@pytest.mark.parametrize(("ttl", "short"), [("1h", True), ("1h1s", False)])
def test_a_role_that_assumes_a_role_gets_an_hour(
    sts: Rogue, method: str, ttl: str, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that assumes a role gets an hour; a longer ttl is refused before the call. Nobody else is concerned."""
    found = Identity(KEY_ID, SECRET_KEY, SESSION, method=method)
    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda self: found)
    source = assume(sts.url, ttl=ttl)

    if method in KEYS_OF_USERS or short:
        assert ask(source).credential.principal == PRINCIPAL
    else:
        error = failure(source)
        assert (type(error), error.code, error.hint) == (SourceRefused, "role_chaining", "ttl: 1h")
        assert method in str(error)
        assert sts.connections == 0


def test_a_real_container_role_is_such_a_role(nobody: pytest.MonkeyPatch, sts: Rogue) -> None:
    """The limit is found by botocore's own word for where the identity comes from."""
    with container(nobody):
        assert failure(assume(sts.url, ttl="2h")).code == "role_chaining"
        assert ask(assume(sts.url, ttl="1h"))


def test_a_web_identity_is_no_chain(nobody: pytest.MonkeyPatch, federation: Rogue, token_file: Path) -> None:
    """A web identity is not a role, so the role's own maximum holds; the worker's identity is not even looked for."""
    with container(nobody) as server:
        ask(assume(federation.url, ttl="12h", web_identity_token_file=str(token_file)))

    assert federation.requests[0].form["DurationSeconds"] == "43200"
    assert server.connections == 0


# Web identity


@pytest.mark.usefixtures("worker")
def test_web_identity_proves_itself_by_its_token_alone(federation: Rogue, token_file: Path) -> None:
    """The token is sent, unsigned, even where the worker has keys; the worker's identity is no fact of it."""
    source = assume(
        federation.url,
        web_identity_token_file=str(token_file),
        attribution="none",
        policy_arns=["arn:aws:iam::aws:policy/X"],
    )
    ask(source)

    (request,) = federation.requests
    assert request.form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "airflow",
        "DurationSeconds": "3600",
        "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/X",
        "WebIdentityToken": TOKEN,
    }
    assert request.headers["Authorization"] is None
    assert request.headers["X-Amz-Security-Token"] is None
    assert source.ambient() == {}


@pytest.mark.usefixtures("nobody")
def test_web_identity_token_is_read_each_time(federation: Rogue, token_file: Path) -> None:
    """Kubernetes rotates the token in its file."""
    source = assume(federation.url, web_identity_token_file=str(token_file))
    for token in ("first", "second"):
        token_file.write_text(token)
        ask(source)

    assert [request.form["WebIdentityToken"] for request in federation.requests] == ["first", "second"]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(("make", "fault"), FAULTS.items(), ids=lambda thing: getattr(thing, "__name__", ""))
def test_unusable_web_identity_token_file(
    federation: Rogue, tmp_path: Path, make: Callable[[Path], None], fault: str
) -> None:
    """Whatever is wrong with the token file, STS is not asked and the error names the file and nothing in it."""
    path = tmp_path / "token"
    make(path)

    error = failure(assume(federation.url, web_identity_token_file=str(path)))

    assert (type(error), error.code) == (SourceUnavailable, "file_unusable")
    assert error.message.startswith(f"web identity token file {path} {fault}")
    assert CANARY not in story(error)
    assert federation.connections == 0


@pytest.mark.usefixtures("nobody")
def test_web_identity_token_that_is_too_long_for_sts(federation: Rogue, token_file: Path) -> None:
    """The bound on the token is the one of STS."""
    token_file.write_text("x" * LONGEST_TOKEN)
    ask(assume(federation.url, web_identity_token_file=str(token_file)))
    token_file.write_text("x" * (LONGEST_TOKEN + 1))

    assert failure(assume(federation.url, web_identity_token_file=str(token_file))).code == "file_unusable"


@pytest.mark.parametrize(
    "fields",
    [{"external_id": "an-id"}, {"tags": {"a": "b"}}, {"source_identity": "airflow"}, {"profile": "default"}],
    ids=lambda fields: next(iter(fields)),
)
def test_web_identity_takes_no_more_than_sts_does(fields: dict[str, Any]) -> None:
    """What ``AssumeRoleWithWebIdentity`` has no parameter for is a problem at load, not lost in silence."""
    assert problems(**fields) == []
    (problem,) = problems(**fields, web_identity_token_file="/token")
    assert problem.startswith(f"{next(iter(fields))}: does not go with")


# An AWS that checks


@pytest.fixture
def reader(cloud: Cloud) -> AwsAssumeRole:
    return in_cloud(cloud, "airflow-lake_inventory")


def in_cloud(cloud: Cloud, role: str) -> AwsAssumeRole:
    return assume(cloud.endpoint_url, role_arn=f"arn:aws:iam::{ACCOUNT}:role/{role}", region=REGION)


def test_right_identity_mints_what_the_role_may(cloud: Cloud, reader: AwsAssumeRole) -> None:
    """What is minted is what STS issued, and works for what the role may do and for nothing else."""
    minted = ask(reader, caller=Caller(process="task", dag_id="orders", run_id="r1")).credential
    assert isinstance(minted, AwsCredential)

    last = cloud.issued()[-1]
    assert (last.access_key_id, last.secret_access_key, last.session_token) == (
        minted.access_key_id,
        minted.secret_access_key,
        minted.session_token,
    )
    assert last.session_name == "orders.r1"
    assert minted.principal.endswith("assumed-role/airflow-lake_inventory/orders.r1")
    s3 = cloud.client("s3", minted.access_key_id, minted.secret_access_key, minted.session_token)
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] > 0
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.put_object(Bucket=BUCKET, Key="x", Body=b"")


@pytest.mark.parametrize(
    ("name", "code", "suspect"),
    [
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch", "secret access key"),
        ("AWS_ACCESS_KEY_ID", "InvalidClientTokenId", "access key: it is unknown"),
    ],
)
def test_wrong_identity_is_refused(
    reader: AwsAssumeRole, monkeypatch: pytest.MonkeyPatch, name: str, code: str, suspect: str
) -> None:
    """STS's own word for a wrong key is kept, with what to look at, and the key itself is not."""
    monkeypatch.setenv(name, "canary0wrong")

    error = failure(reader)

    assert (type(error), error.code) == (SourceRefused, code)
    assert suspect in str(error)
    assert "canary" not in story(error)


def test_role_that_the_worker_may_not_assume_is_refused(cloud: Cloud) -> None:
    """AccessDenied names the role and all that may have denied it."""
    error = failure(in_cloud(cloud, "airflow-other"))

    assert (type(error), error.code) == (SourceRefused, "AccessDenied")
    assert "role/airflow-other" in error.message
    for suspect in ("sts:AssumeRole", "trust policy", "external_id", "sts:TagSession", "sts:SetSourceIdentity"):
        assert suspect in str(error)


# The worker's own identity


def test_session_from_the_environment(worker: pytest.MonkeyPatch) -> None:
    """The worker's identity is frozen as it is; keys that do not end by themselves are held and never shared."""
    lease = ask(AwsSession(region=REGION, ttl="7m"))

    assert lease.credential == AwsCredential(
        access_key_id=KEY_ID,
        secret_access_key=SECRET_KEY,
        session_token=SESSION,
        principal=f"worker identity {KEY_ID} (env)",
    )
    assert (lease.life, lease.shared) == (420, False)


def test_session_that_ends_by_itself(nobody: pytest.MonkeyPatch) -> None:
    """A temporary identity keeps its own expiry."""
    with container(nobody):
        credential = AwsSession(region=REGION).mint(given(AwsSession(region=REGION)))

    assert credential.expires_at == 4102444799
    assert credential.principal == "worker identity ASIAMINTED (container-role)"


def test_session_of_a_profile(nobody: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile of the worker's configuration chooses the identity."""
    profile(nobody, tmp_path, "[profile team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = team-secret\n")

    assert (
        ask(AwsSession(region=REGION, profile="team")).credential.principal == "worker identity AKIATEAM (config-file)"
    )


def test_identity_is_part_of_the_facts(worker: pytest.MonkeyPatch) -> None:
    """Two workers with different identities on one host never share a lease, and no secret is part of that."""
    before = AwsSession(region=REGION).ambient()
    worker.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")

    assert AwsSession(region=REGION).ambient() != before
    assert assume("https://sts.test").ambient() == AwsSession(region=REGION).ambient()
    assert SECRET_KEY not in str(before)
    assert SESSION not in str(before)


@pytest.mark.parametrize("source", [AwsSession(region=REGION), assume("https://sts.test")], ids=["session", "role"])
@pytest.mark.usefixtures("nobody")
def test_worker_without_identity(source: Any) -> None:
    """Without an identity nothing is asked, and the error says how a worker gets one."""
    error = failure(source)

    assert (type(error), error.code) == (SourceUnavailable, "no_identity")
    assert "role, AWS_* variables, or a profile" in str(error)


def test_identity_of_the_instance(enforcing: Cloud, nobody: pytest.MonkeyPatch) -> None:
    """On EC2 the worker's identity comes from its metadata service, with an expiry, by its second version."""
    nobody.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", enforcing.endpoint_url)
    nobody.setenv("AWS_EC2_METADATA_DISABLED", "false")
    nobody.setenv("AWS_EC2_METADATA_V1_DISABLED", "true")
    lease = ask(AwsSession(region="eu-west-1"))

    assert isinstance(lease.credential, AwsCredential)
    assert lease.credential.principal.endswith("(iam-role)")
    assert lease.credential.session_token
    assert lease.shared
