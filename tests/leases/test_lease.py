"""A lease: its windows, its two clocks, its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from math import inf, nan
from random import Random
from typing import Any

import msgspec
import pytest

from airflow_ephemeral_secrets.caller import Attribution, Caller
from airflow_ephemeral_secrets.clock import Instant
from airflow_ephemeral_secrets.credential import AnyCredential, AwsCredential, BasicCredential, BearerToken
from airflow_ephemeral_secrets.errors import SourceFailed
from airflow_ephemeral_secrets.leases.cache import Held
from airflow_ephemeral_secrets.leases.lease import LONGEST_LIFE, Lease, LeaseKey, issue, lease_key, window
from airflow_ephemeral_secrets.reading import SecretName
from airflow_ephemeral_secrets.recipe import Recipe
from airflow_ephemeral_secrets.shapes.aws import Aws
from airflow_ephemeral_secrets.shapes.http import Http
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from airflow_ephemeral_secrets.sources.base import SecretReference, Source
from airflow_ephemeral_secrets.sources.secret_refs import EnvironmentReference, FileReference
from airflow_ephemeral_secrets.sources.static import Static
from airflow_ephemeral_secrets.testing import FakeSource
from tests.leases.made import SECRET, START, lease, token

MINUTE, HOUR = 60.0, 3600.0
NOW = Instant(START, 0.0)
LIVES = [3 * MINUTE, 15 * MINUTE, 20 * MINUTE, 21 * MINUTE, HOUR, 90 * MINUTE, 91 * MINUTE, 12 * HOUR, LONGEST_LIFE]


def issue_at(life: float, random: Random) -> Lease:
    return issue(BearerToken(token=SECRET, expires_at=NOW.wall + life), asked=NOW, hold=0, random=random)


@pytest.mark.parametrize(
    ("life", "seconds"),
    [
        (10.0, 5.0),
        (3 * MINUTE, 1.5 * MINUTE),
        (5 * MINUTE, 2.5 * MINUTE),
        (10 * MINUTE, 5 * MINUTE),
        (15 * MINUTE, 5 * MINUTE),
        (20 * MINUTE, 5 * MINUTE),
        (21 * MINUTE, 10.5 * MINUTE),
        (30 * MINUTE, 15 * MINUTE),
        (HOUR, 15 * MINUTE),
        (90 * MINUTE, 15 * MINUTE),
        (91 * MINUTE, 45.5 * MINUTE),
        (2 * HOUR, HOUR),
        (12 * HOUR, HOUR),
    ],
)
def test_window(life: float, seconds: float) -> None:
    """The refresh window is 5, 15 or 60 minutes by the lifetime, and never more than half of it."""
    assert window(life) == seconds


@pytest.mark.parametrize("life", LIVES)
def test_jitter(life: float) -> None:
    """Jitter shortens the window by up to a tenth, never lengthens it, and spreads leases of one age over it."""
    windows = {life - issue_at(life, Random(seed)).advisory for seed in range(200)}

    assert 0.9 * window(life) <= min(windows) < 0.91 * window(life)
    assert 0.99 * window(life) < max(windows) <= window(life)
    assert len(windows) > 190


def test_jitter_is_drawn_once() -> None:
    """A lease draws its jitter at issue, by one number, and what it says of itself later depends on the time alone."""
    drawn, reference = Random(7), Random(7)

    issue_at(HOUR, drawn)

    reference.random()
    assert drawn.getstate() == reference.getstate()


@pytest.mark.parametrize(
    ("life", "seconds"), [(3.0, 1.0), (60.0, 20.0), (3 * MINUTE, 60.0), (15 * MINUTE, 60.0), (12 * HOUR, 60.0)]
)
def test_mandatory(life: float, seconds: float) -> None:
    """Everyone waits for a refresh in the last 60 s, and never during more than a third of the life."""
    one = issue_at(life, Random(1))

    assert one.life - one.mandatory == pytest.approx(seconds)


@pytest.mark.parametrize("life", [1.0, 59.0, *LIVES])
def test_freshness(life: float) -> None:
    """A lease is fresh, then advisory, then mandatory, then expired; each begins at its own second, none is skipped."""
    one = issue_at(life, Random(1))

    def at(age: float) -> str:
        return one.freshness(Instant(NOW.wall, NOW.boot + age))

    assert 0 < one.advisory < one.mandatory < one.life == life
    assert [at(0), at(one.advisory - 0.001)] == ["fresh"] * 2
    assert [at(one.advisory), at(one.mandatory - 0.001)] == ["advisory"] * 2
    assert [at(one.mandatory), at(one.life - 0.001)] == ["mandatory"] * 2
    assert [at(one.life), at(one.life * 100)] == ["expired"] * 2


@pytest.mark.parametrize(
    ("wall", "boot", "freshness"),
    [
        pytest.param(60, 60, "fresh", id="time passed on both"),
        pytest.param(HOUR + 60, 60, "expired", id="wall clock set an hour forward"),
        pytest.param(-HOUR + 60, 60, "fresh", id="wall clock set an hour back"),
        pytest.param(-HOUR + 850, 850, "mandatory", id="set back, and the window comes by the boot clock"),
        pytest.param(-HOUR + 900, 900, "expired", id="set back, and dead by the boot clock"),
        pytest.param(HOUR, HOUR, "expired", id="suspended for an hour"),
        pytest.param(0, HOUR, "expired", id="suspended, and the wall clock not yet corrected"),
        pytest.param(60, -1, "expired", id="issued before this boot"),
        pytest.param(-HOUR, -1, "expired", id="issued before this boot, wall clock set back"),
    ],
)
def test_clocks(wall: float, boot: float, freshness: str) -> None:
    """A lease lives only as long as the wall clock and the boot clock agree that it does."""
    one = issue_at(15 * MINUTE, Random(1))

    assert one.freshness(Instant(NOW.wall + wall, NOW.boot + boot)) == freshness


def test_life_counts_from_the_question() -> None:
    """The time a source takes to answer is part of the life: it is counted from the moment before it was asked."""
    one = issue_at(15 * MINUTE, Random(1))

    assert (one.issued_wall, one.issued_boot, one.expires_at) == (NOW.wall, NOW.boot, NOW.wall + 15 * MINUTE)


@pytest.mark.parametrize("life", [0.0, -1.0, -HOUR, LONGEST_LIFE + 1, inf, -inf, nan])
def test_lifetime_refused(life: float) -> None:
    """An answer that is dead already, or claims to live for over seven days, is not believed."""
    with pytest.raises(
        SourceFailed, match=r"^the credential's lifetime is .*; try: compare this host's clock"
    ) as raised:
        issue_at(life, Random(1))

    assert raised.value.code == "bad_lifetime"


def test_longest_life() -> None:
    """Seven days are believed."""
    assert issue_at(LONGEST_LIFE, Random(1)).life == LONGEST_LIFE


def test_endless_credential() -> None:
    """What does not end by itself is held for the time told, refreshed before, and never leaves this process."""
    one = issue(token(expires_at=None), asked=NOW, hold=300.0, random=Random(1))

    assert (one.life, one.shared) == (300.0, False)
    assert one.freshness(Instant(NOW.wall + 300, NOW.boot + 300)) == "expired"


def test_ending_credential_is_shared() -> None:
    """What ends by itself may be shared with the other processes of the host."""
    assert lease().shared


def test_lease_id() -> None:
    """A lease id is 12 hex digits, the same for the same credential and another for any other."""
    assert re.fullmatch("[0-9a-f]{12}", lease("one").lease_id)
    assert lease("one").lease_id == lease("one").lease_id
    assert len({lease("one").lease_id, lease("two").lease_id, lease("one", life=901).lease_id}) == 3


def test_lease_id_of_an_endless_credential() -> None:
    """The id of a long-lived secret is not derived from it: nobody can test guesses against the audit trail."""
    same = [issue(token(expires_at=None), asked=NOW, hold=300.0, random=Random(1)).lease_id for _ in range(3)]

    assert all(re.fullmatch("[0-9a-f]{12}", one) for one in same)
    assert len(set(same)) == 3


@pytest.mark.parametrize(
    "credential",
    [
        token(),
        BasicCredential(username="airflow", password=SECRET, expires_at=START + 900),
        AwsCredential(access_key_id="ASIA", secret_access_key=SECRET, session_token=SECRET, expires_at=START + 900),
    ],
    ids=lambda credential: type(credential).__name__,
)
def test_shows_no_secret(credential: AnyCredential) -> None:
    """Neither a lease nor who holds it shows a secret, however it is printed."""
    held = Held(issue(credential, asked=NOW, hold=0, random=Random(1)), "minted")

    for thing in (held, held.lease):
        assert SECRET not in f"{thing!r} {thing!s} {thing} {[thing]}"
        assert "principal" in repr(thing)


# keys ----------------------------------------------------------------------------------------------------------------


def test_key_is_canonical() -> None:
    """A key is the SHA-256 of the facts whatever their order, the same in every process and release."""
    key = sha256(b'{"a":null,"b":{"x":[2],"y":1}}').hexdigest()

    assert lease_key({"b": {"y": 1, "x": [2]}, "a": None}) == lease_key({"a": None, "b": {"x": [2], "y": 1}}) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1"}, {"a": 1}),
        ({"a": None}, {}),
        ({"a": None}, {"a": ""}),
        ({"a": None}, {"a": "null"}),
        ({"a": "b"}, {"b": "a"}),
        ({"a": ["b", "c"]}, {"a": ["c", "b"]}),
        ({"a": ["bc"]}, {"a": ["b", "c"]}),
        ({"a": "b", "c": "d"}, {"a": 'b","c":"d'}),
        ({"a": {"b": "c"}}, {"a": '{"b":"c"}'}),
        ({"team": "a", "dag": "bc"}, {"team": "ab", "dag": "c"}),
    ],
)
def test_keys_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Facts that differ in a value, a type, a name or an order never share a key."""
    assert lease_key(one) != lease_key(other)


ROLE = AwsAssumeRole(role_arn="arn:aws:iam::111122223333:role/reader", region="eu-west-1", ttl="15m", attribution="run")
CALLER = Caller(process="task", dag_id="a_dag", task_id="a_task", run_id="a_run", team="a_team")
PARAMETERS: dict[str, Any] = {
    "ttl": "16m",
    "attribution": "dag",
    "role_arn": "arn:aws:iam::111122223333:role/writer",
    "region": "eu-west-2",
    "external_id": "an-id",
    "policy": {"Version": "2012-10-17"},
    "policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    "tags": {"project": "one"},
    "transitive_tags": ["project"],
    "source_identity": "airflow",
    "web_identity_token_file": "/var/run/token",
    "profile": "reader",
    "endpoint_url": "https://sts.example.com",
}


def recipe(source: Source = ROLE, **others: Any) -> Recipe:
    fields = {"pattern": "lake", "source_name": "reader", "shape": Aws(source="reader"), "references": {}, "proofs": ()}
    return Recipe(source=source, **{**fields, **others})


def key_of(one: Recipe, caller: Caller = CALLER) -> LeaseKey:
    return one.lease_key(caller, one.facts(caller))


class Twin(FakeSource, frozen=True, kw_only=True, tag="twin"):
    """The same fields as its base, of another kind."""


def test_key_holds_the_kind() -> None:
    """Two kinds of source never share a lease, not even with the same parameters."""
    assert key_of(recipe(Twin())) != key_of(recipe(FakeSource()))


def test_every_parameter_is_known() -> None:
    """The table below leaves out no parameter of the source."""
    assert set(PARAMETERS) == set(ROLE.__struct_fields__)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_key_holds_every_parameter(parameter: str) -> None:
    """Two requests that differ in any one minting parameter never share a lease."""
    other = msgspec.structs.replace(ROLE, **{parameter: PARAMETERS[parameter]})

    assert key_of(recipe(other)) != key_of(recipe())


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_CONFIG_FILE"])
def test_key_holds_the_identity_that_asks(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that ask as different principals never share a lease."""
    before = key_of(recipe())

    monkeypatch.setenv(variable, "another")

    assert key_of(recipe()) != before


@pytest.mark.parametrize(
    ("attribution", "facts"),
    [
        ("none", {"team"}),
        ("dag", {"team", "dag_id"}),
        ("run", {"team", "dag_id", "run_id"}),
        ("task", {"team", "dag_id", "run_id", "task_id"}),
    ],
)
def test_key_holds_the_stamped_facts(attribution: Attribution, facts: set[str]) -> None:
    """Callers share a lease unless they differ in their team or in a fact that the source stamps."""
    one = recipe(msgspec.structs.replace(ROLE, attribution=attribution))
    differs = {
        fact
        for fact in ("team", "dag_id", "run_id", "task_id")
        if key_of(one, msgspec.structs.replace(CALLER, **{fact: "another"})) != key_of(one)
    }

    assert differs == facts


def test_key_holds_the_filled_template() -> None:
    """A template is part of the key as it is filled in, though no attribution stamps its fact."""
    each = recipe(AwsAssumeRole(role_arn="arn:aws:iam::111122223333:role/{dag_id}", region="eu-west-1"))
    source = msgspec.structs.replace(each.source, attribution="none")

    callers = [msgspec.structs.replace(CALLER, dag_id=dag_id) for dag_id in ("one", "two")]

    assert len({key_of(recipe(source), caller) for caller in callers}) == 2


def test_same_request_by_other_names() -> None:
    """Two recipes that ask the same of the same source share a lease, whatever they are called and shaped as."""
    other = recipe(pattern="sea_*", source_name="another", shape=Http(source="another", host="api.example.com"))

    assert key_of(other) == key_of(recipe())


def test_key_holds_references_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key names where a secret lies, and does not change with the secret."""
    source = Static(token=SecretName(secret="app"))

    def key(reference: SecretReference) -> LeaseKey:
        return key_of(recipe(source, references={"app": reference}, proofs=(reference,)))

    keys = []
    for secret in ("one", "two"):
        monkeypatch.setenv("CLIENT_SECRET", secret)
        keys.append(key(EnvironmentReference(name="CLIENT_SECRET")))
    assert len(set(keys)) == 1
    assert key(EnvironmentReference(name="ANOTHER")) not in keys
    assert key(FileReference(path="/run/secret")) not in keys
