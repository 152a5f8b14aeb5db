"""The flow, step by step: recipe, policy, lease, shape."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import msgspec
import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline
from airflow_ephemeral_secrets.credential import BearerToken, Credential
from airflow_ephemeral_secrets.errors import (
    AccessDenied,
    EphemeralSecretsError,
    SourceFailed,
    SourceRefused,
    SourceUnavailable,
)
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.shapes.base import Rule
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from airflow_ephemeral_secrets.sources.base import Minting, Network, SecretReference, Source
from airflow_ephemeral_secrets.sources.secret_refs import EnvironmentReference, FileReference
from airflow_ephemeral_secrets.sources.static import Static
from airflow_ephemeral_secrets.testing import FakeClock, FakeSource
from tests.resolving import CALLER, resolver


class CountedReference(SecretReference, frozen=True, kw_only=True, tag="counted"):
    """A reference that notes each time it is read."""

    name: str

    def read(self, network: Network, deadline: Deadline) -> str:
        READS.append(self.name)
        return f"value of {self.name}"


READS: list[str] = []


def test_granted() -> None:
    """An owned conn_id becomes connection fields that hold the minted token, which is listed for masking."""
    spec = resolver().connection("api", CALLER)
    assert spec
    assert (spec.conn_type, spec.host) == ("http", "https://api.example.com")
    assert json.loads(spec.extra or "")["Authorization"] == "Bearer fake-token-1"
    assert "fake-token-1" in spec.secrets


def test_not_ours() -> None:
    """A name that no recipe owns is None, and nothing is minted."""
    source = FakeSource()
    asked = resolver(source=source)
    assert asked.connection("other", CALLER) is None
    assert asked.variable("OTHER", CALLER) is None
    assert source.minted == []


def test_connection_and_variable_share_a_lease() -> None:
    """Two names over one source and the same facts are one mint."""
    source = FakeSource()
    asked = resolver(source=source)
    asked.connection("api", CALLER)
    value = asked.variable("TOKEN", CALLER)
    assert value
    assert value.text == "<fake-token-1>"
    assert {"fake-token-1", "<fake-token-1>"} <= set(value.masks.forms)
    assert value.masks.until == 1_000.0 + 900.0
    assert len(source.minted) == 1


def test_bytes_are_stable_while_a_token_lives() -> None:
    """The connection has the same bytes until its token changes."""
    clock = FakeClock()
    asked = resolver(clock=clock)
    first = asked.connection("api", CALLER)
    clock.advance(500)
    assert asked.connection("api", CALLER) == first
    clock.advance(400)
    assert asked.connection("api", CALLER) != first


def test_policy_comes_before_minting() -> None:
    """Whom policy refuses causes no mint."""
    source = FakeSource()
    with pytest.raises(AccessDenied, match="its allow does not name Dag a_dag"):
        resolver(source=source, allow=Rule(dags=["etl_*"])).connection("api", CALLER)
    assert source.minted == []


def test_error_names_its_source() -> None:
    """An error of a source carries the name it has in the configuration."""
    with pytest.raises(SourceRefused) as caught:
        resolver(raises=SourceRefused("no")).connection("api", CALLER)
    assert caught.value.source == "fake"


def test_unexpected_error_of_a_source_says_its_type_alone() -> None:
    """Whatever a source raises becomes a failure that repeats nothing of its text."""
    with pytest.raises(SourceFailed) as caught:
        resolver(raises=ValueError("canary-token")).connection("api", CALLER)
    assert "ValueError" in str(caught.value)
    assert "canary-token" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_template_of_a_fact_the_caller_lacks_is_refused_by_name() -> None:
    """A recipe that needs {dag_id} refuses a caller without one, before any call."""
    source = AwsAssumeRole(role_arn="arn:aws:iam::111122223333:role/reader-{dag_id}", region="eu-west-1")
    with pytest.raises(AccessDenied, match=r"needs \{dag_id\}"):
        resolver(source=source).connection("api", Caller(process="script"))


def test_header_secret_is_read_once_per_process() -> None:
    """A secret that a shape adds is read at the first lookup, kept in memory, and read again after five minutes."""
    READS.clear()
    clock = FakeClock()
    shape = Http(source="fake", host="https://api.example.com", headers={"X-Api-Key": SecretName(secret="key")})
    source = FakeSource(lives=36_000.0)
    asked = resolver(clock=clock, source=source, shape=shape, references={"key": CountedReference(name="key")})
    for _ in range(3):
        spec = asked.connection("api", CALLER)
        assert spec
        assert json.loads(spec.extra or "")["X-Api-Key"] == "value of key"
    assert "value of key" in spec.secrets
    assert READS == ["key"]
    clock.advance(301)
    asked.connection("api", CALLER)
    assert READS == ["key", "key"]


@pytest.mark.parametrize(
    ("shape", "references", "code", "outcome"),
    [
        (
            Http(source="fake", host="https://api.example.com", headers={"X-Api-Key": SecretName(secret="key")}),
            {"key": EnvironmentReference(name="NOT_SET_ON_THIS_WORKER")},
            "secret_missing",
            "fail",
        ),
        (Http(source="fake", host="https://api.example.com", live=True), {}, "not_live_here", "deny"),
    ],
)
def test_lookup_that_fails_after_the_lease_is_no_grant(
    tmp_path: Path, shape: Http, references: dict[str, SecretReference], code: str, outcome: str
) -> None:
    """A lookup ends with what the task gets: no secret for a header, or no place, is audited as that."""
    file = tmp_path / "audit.jsonl"
    with pytest.raises(EphemeralSecretsError):
        resolver(shape=shape, references=references, audit=file).connection("api", CALLER)

    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["event"], line["outcome"], line.get("code")) for line in told] == [
        ("mint", "grant", None),
        ("lookup", outcome, code),
    ]


SHAPE = [("shape", True)] * len(Http.cautions)


@pytest.mark.parametrize(
    ("name", "caller", "rule", "steps"),
    [
        ("other", CALLER, None, [("recipe", False)]),
        ("api", Caller(process="server"), None, [("recipe", True), ("policy", False)]),
        ("api", CALLER, Rule(dags=["x"]), [("recipe", True), ("policy", False)]),
        ("api", CALLER, None, [("recipe", True), ("policy", True), ("source", True), ("lease", True), *SHAPE]),
    ],
)
def test_explain_walks_the_same_steps(
    name: str, caller: Caller, rule: Rule | None, steps: list[tuple[str, bool]]
) -> None:
    """Explain stops where the flow would, says why, and mints nothing."""
    source = FakeSource()
    told = resolver(source=source, allow=rule).explain(name, caller)
    assert [(step.name, step.passed) for step in told] == steps
    assert all(step.reason for step in told)
    assert source.minted == []


def test_explain_tells_of_a_held_lease() -> None:
    """Explain shows how fresh the lease at hand is."""
    asked = resolver()
    asked.connection("api", CALLER)
    (lease,) = [step for step in asked.explain("api", CALLER) if step.name == "lease"]
    assert "fresh in memory, lease " in lease.reason


def test_explain_tells_what_was_configured() -> None:
    """Explain shows the source's settings that are not defaults; a secret by its name only."""
    source = AwsAssumeRole(
        role_arn="arn:aws:iam::111122223333:role/{dag_id}", region="eu-west-1", policy_arns=["a", "b"]
    )
    role = "role_arn=arn:aws:iam::111122223333:role/a_dag, region=eu-west-1, policy_arns=a+b"
    for configured, told in (
        (source, f"kind aws_assume_role ({role}), ttl 1h, names dag_id=a_dag, run_id=a_run"),
        (Static(token=SecretName("proof")), "kind static (token=secret proof), ttl 5m, names nobody"),
    ):
        steps = resolver(source=configured).explain("api", CALLER)
        assert [step.reason for step in steps if step.name == "source"] == [told]


def test_deadline_bounds_a_source_that_hangs() -> None:
    """A source that never answers ends at the deadline of the lookup."""
    reader, writer = os.pipe()

    class Hanging(FakeSource, frozen=True, kw_only=True, tag="hanging"):
        def mint(self, minting: object) -> None:  # type: ignore[override]
            os.read(reader, 1)

    clock = FakeClock()
    asked = resolver(clock=clock, source=Hanging())
    recipe = asked.config.connections.match("api")
    assert recipe
    try:
        with pytest.raises(SourceFailed) as caught:
            asked.lease(recipe, "api", CALLER, Deadline(clock, 0.2))
    finally:
        os.write(writer, b"x")
        os.close(writer)
    assert caught.value.code == "timeout"


def test_host_store_is_not_opened_for_what_nobody_owns() -> None:
    """A miss touches no disk: the store is opened by the first lookup that is ours."""
    opened: list[str] = []
    asked = resolver()
    asked.leases = LeaseCache(FakeClock(), Random(1), lambda: opened.append("opened"))  # type: ignore[func-returns-value]
    asked.connection("other", CALLER)
    assert opened == []
    asked.connection("api", CALLER)
    assert opened == ["opened"]


class RotatedReference(SecretReference, frozen=True, kw_only=True, tag="rotated"):
    """A reference that gives one value after the other, and the last for good; None is a store that is down."""

    values: tuple[str | None, ...]

    def read(self, network: Network, deadline: Deadline) -> str:
        value = self.values[min(len(READS), len(self.values) - 1)]
        READS.append(str(value))
        if value is None:
            raise SourceFailed("the store is down")
        return value


class Proving(Source, frozen=True, kw_only=True, tag="proving"):
    """A source whose provider accepts one secret only."""

    accepted: str
    rejects_proof: bool = True
    tried: list[str] = msgspec.field(default_factory=list)

    def yields(self) -> type[Credential]:
        return BearerToken

    def mint(self, minting: Minting) -> Credential:
        self.tried.append(minting.secret(SecretName("proof")))
        if minting.secret(SecretName("proof")) != self.accepted:
            raise SourceRefused("wrong secret", code="invalid_client", proof_rejected=self.rejects_proof)
        return BearerToken(token="a-token", expires_at=minting.asked.wall + 900, principal="somebody")


@pytest.mark.parametrize(
    ("values", "rejects_proof", "tried", "reads"),
    [
        pytest.param(("new",), True, ["new"], 1, id="accepted at once"),
        pytest.param(("old", "new"), True, ["old", "new"], 2, id="rotated meanwhile"),
        pytest.param(("old", "older", "new"), True, ["old", "older"], 2, id="rotated, and wrong again"),
        pytest.param(("old", "old", "new"), True, ["old"], 2, id="the same as before"),
        pytest.param(("old", None), True, ["old"], 2, id="its store is down"),
        pytest.param(("old", "new"), False, ["old"], 1, id="refused for another reason"),
    ],
)
def test_rotated_secret(values: tuple[str | None, ...], rejects_proof: bool, tried: list[str], reads: int) -> None:
    """A secret that the provider rejects is read anew once, and tried once more only if it has changed."""
    READS.clear()
    source = Proving(accepted="new", rejects_proof=rejects_proof)
    asked = resolver(source=source, references={"proof": RotatedReference(values=values)})
    if tried[-1] == "new":
        assert asked.connection("api", CALLER)
    else:
        with pytest.raises(SourceRefused, match="wrong secret"):
            asked.connection("api", CALLER)
    assert source.tried == tried
    assert len(READS) == reads


def test_secret_that_is_no_text() -> None:
    """A secret that cannot be encoded is refused before anything tries, for such errors hold what they choke on."""
    READS.clear()
    broken = RotatedReference(values=("canary-\udcff",))
    with pytest.raises(SourceUnavailable, match="is not UTF-8 text") as caught:
        resolver(source=Proving(accepted="new"), references={"proof": broken}).connection("api", CALLER)
    assert "canary" not in f"{caught.value!r} {caught.value.__context__!r} {vars(caught.value)}"


def test_secret_at_hand_is_not_remembered(tmp_path: Path) -> None:
    """A file that changes, as Kubernetes' projected ones do, is seen at the next lookup."""
    path = tmp_path / "key"
    shape = Http(source="fake", host="https://api.example.com", headers={"X-Api-Key": SecretName(secret="key")})
    asked = resolver(shape=shape, references={"key": FileReference(path=str(path))})
    for value in ("first-key-of-the-api", "second-key-of-the-api"):
        path.write_text(value)
        spec = asked.connection("api", CALLER)
        assert spec
        assert json.loads(spec.extra or "")["X-Api-Key"] == value
