"""What the configuration accepts, held against botocore's own model of STS."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ephemeral_secrets.caller import STAMPED
from airflow_ephemeral_secrets.sources import aws, aws_client
from airflow_ephemeral_secrets.sources.aws import AwsAssumeRole
from airflow_ephemeral_secrets.sources.aws_role import session_name
from tests.sources.asking import problems

MODEL = botocore.session.get_session().get_service_model("sts").operation_model("AssumeRole").input_shape.members
WEB = botocore.session.get_session().get_service_model("sts").operation_model("AssumeRoleWithWebIdentity").input_shape
TAG = MODEL["Tags"].member.members
SHAPES = {
    "role_arn": MODEL["RoleArn"],
    "external_id": MODEL["ExternalId"],
    "source_identity": MODEL["SourceIdentity"],
    "policy": MODEL["Policy"],
    "policy_arns": MODEL["PolicyArns"].member.members["arn"],
    "tag key": TAG["Key"],
    "tag value": TAG["Value"],
    "transitive_tags": MODEL["TransitiveTagKeys"].member,
}

PREFIXES = {"role_arn": "arn:aws:iam::111122223333:role/", "policy_arns": "arn:aws:iam::111122223333:policy/"}


def fields(name: str, value: str) -> dict[str, Any]:
    """Write a value where the configuration has it."""
    return {
        "policy": {"policy": {"Sid": value}},
        "policy_arns": {"policy_arns": [value]},
        "tag key": {"tags": {value: "a"}},
        "tag value": {"tags": {"a": value}},
        "transitive_tags": {"tags": {value: "a"}, "transitive_tags": [value]},
    }.get(name, {name: value})


def sent(name: str, value: str) -> str:
    return aws_client.compact({"Sid": value}) if name == "policy" else value


def fits(shape: Any, value: str) -> bool:
    """Say whether a value is one that the model describes."""
    known: Mapping[str, Any] = shape.metadata
    pattern = known["pattern"].replace(r"\u10000-\u10FFFF", r"\U00010000-\U0010FFFF")
    if r"\p{" in pattern:  # re has no classes of Unicode categories: let one letter stand for all they hold
        pattern = pattern.replace(r"\p{L}\p{Z}\p{N}", "a")
        value = "".join("a" if unicodedata.category(one)[0] in "LZN" else one for one in value)
    return known["min"] <= len(value) <= known.get("max", 1 << 20) and bool(re.fullmatch(pattern, value, re.ASCII))


CHARACTERS = [*map(chr, range(0x250)), *"\u0301\u0660\u200b\u2028\u20ac\u3042\u5b57\ufeff\uffff😀"]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("where", ["ab{}", "{}ab", "a{}b"])
def test_no_character_that_sts_refuses(name: str, where: str) -> None:
    """Every character that the configuration accepts, at any place, STS accepts."""
    values = [PREFIXES.get(name, "") + where.format(one) for one in CHARACTERS]
    accepted = [value for value in values if not problems(**fields(name, value))]

    assert accepted
    assert [value for value in accepted if not fits(SHAPES[name], sent(name, value))] == []


@pytest.mark.parametrize(
    ("name", "value"), [("region", "eu-west-1"), ("ttl", "15m"), ("endpoint_url", "https://sts.test")]
)
def test_no_word_ends_in_a_new_line(name: str, value: str) -> None:
    """``$`` in a pattern matches before a final newline, which a YAML block leaves at its end."""
    assert problems(**{name: value}) == []
    assert problems(**{name: f"{value}\n"})


@pytest.mark.parametrize("name", ["external_id", "source_identity", "tag key", "tag value", "transitive_tags"])
def test_length_is_that_of_sts(name: str) -> None:
    """The shortest and longest value are exactly those of STS."""
    shape = SHAPES[name]
    shortest, longest = shape.metadata["min"], shape.metadata["max"]
    lengths = [length for length in (shortest - 1, shortest, longest, longest + 1) if length >= 0]

    accepted = [length for length in lengths if not problems(**fields(name, "x" * length))]

    assert accepted == [shortest, longest]


@pytest.mark.parametrize("name", ["role_arn", "policy_arns"])
def test_arn_is_no_longer_than_that_of_sts(name: str) -> None:
    """An ARN of a length that STS takes is accepted, one that it does not take is a problem."""
    assert not problems(**fields(name, PREFIXES[name] + "x" * 512))
    assert problems(**fields(name, PREFIXES[name] + "x" * SHAPES[name].metadata["max"]))


def test_shortest_and_longest_life() -> None:
    """The bounds of ttl are those of STS."""
    bounds = MODEL["DurationSeconds"].metadata
    lives = (bounds["min"] - 1, bounds["min"], bounds["max"], bounds["max"] + 1)

    assert [life for life in lives if not problems(ttl=f"{life}s")] == [bounds["min"], bounds["max"]]
    assert problems(ttl="14m") == ["ttl: STS accepts 15m to 12h, got '14m'"]


def test_longest_policy() -> None:
    """A session policy is measured as it is sent."""
    longest = aws.LONGEST_POLICY - len(aws_client.compact({"Sid": ""}))

    assert WEB.members["Policy"].metadata["max"] == aws.LONGEST_POLICY
    assert problems(policy={"Sid": "x" * longest}) == []
    assert problems(policy={"Sid": "x" * (longest + 1)}) == ["policy: is longer than 2048 characters"]


def test_longest_web_identity_token() -> None:
    """The bound on the token file is the one of STS."""
    assert WEB.members["WebIdentityToken"].metadata["max"] == aws.LONGEST_TOKEN


def test_most_tags() -> None:
    """STS takes so many tags and no more."""
    most = {f"key {number}": "" for number in range(MODEL["Tags"].metadata["max"])}

    assert problems(tags=most, transitive_tags=list(most)) == []
    assert problems(tags={**most, "one": "more"}) == ["source.tags: holds 51 entries, over 50"]


def test_most_policies() -> None:
    """STS takes ten managed policies."""
    arns = [f"arn:aws:iam::aws:policy/p{number}" for number in range(11)]

    assert problems(policy_arns=arns[:10]) == []
    assert len(problems(policy_arns=arns)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": {"aws:dag": "a"}},
        {"tags": {"AWS:dag": "a"}},
        {"source_identity": "aws:airflow"},
        {"tags": {"Dag": "a", "dag": "b"}},
        {"tags": {"dag": "a"}, "transitive_tags": ["run"]},
        {"tags": {"{dag_id}": "a"}},
        {"tags": {"dag": "{try_number}"}},
        {"role_arn": "arn:aws:iam::111122223333:role/{try_number}"},
        {"role_arn": "arn:aws:iam::111122223333:user/airflow"},
        {"role_arn": "arn:aws:sts::111122223333:assumed-role/reader/session"},
    ],
    ids=str,
)
def test_what_sts_says_in_words_only(fields: dict[str, Any]) -> None:
    """Rules of STS that its model does not hold are problems at load too."""
    assert problems(**fields)


@pytest.mark.parametrize("name", ["external_id", "source_identity", "tag value"])
@pytest.mark.parametrize("fact", ["dag_id", "task_id", "run_id", "team"])
def test_a_fact_may_stand_alone(name: str, fact: str) -> None:
    """A placeholder is as long as the fact that it stands for, not one character."""
    assert problems(**fields(name, f"{{{fact}}}")) == []


@pytest.mark.parametrize("path", ["token", "~/token", "", "/a\0b", "/token\n"])
def test_token_file_is_an_absolute_path(path: str) -> None:
    """A worker's current directory decides nothing, and no path is one that no file can have."""
    assert problems(web_identity_token_file="/var/run/token") == []
    assert problems(web_identity_token_file=path)


# Regions and partitions

SESSION = botocore.session.get_session()
REGIONS = [
    (partition, region)
    for partition in SESSION.get_available_partitions()
    for region in SESSION.get_available_regions("sts", partition)
]


def test_every_partition_has_its_regions() -> None:
    """The next test would be empty for a partition whose regions botocore does not list."""
    assert {partition for partition, _ in REGIONS} >= {
        "aws",
        "aws-cn",
        "aws-us-gov",
        "aws-iso",
        "aws-iso-b",
        "aws-eusc",
    }


def test_regions_are_those_of_botocore() -> None:
    """Every region that botocore knows is accepted with a role of its own partition, and with no other."""
    partitions = {partition for partition, _ in REGIONS}
    wrong = [
        (region, partition)
        for here, region in REGIONS
        for partition in partitions
        if bool(problems(region=region, role_arn=f"arn:{partition}:iam::111122223333:role/x")) is (here == partition)
    ]

    assert wrong == []


def test_endpoints_are_those_of_botocore() -> None:
    """The regional endpoint that is announced is the one that botocore would ask, in every partition."""
    wrong = {}
    for partition, region in REGIONS:
        source = AwsAssumeRole(role_arn=f"arn:{partition}:iam::111122223333:role/x", region=region)
        client = SESSION.create_client("sts", region, aws_access_key_id="a", aws_secret_access_key="b")
        if source.endpoints() != [client.meta.endpoint_url]:
            wrong[region] = source.endpoints()

    assert wrong == {}


def test_private_endpoint_is_announced() -> None:
    """Where a private endpoint is configured, nothing else is asked."""
    source = AwsAssumeRole(
        role_arn="arn:aws:iam::111122223333:role/x", region="eu-west-1", endpoint_url="https://sts.test"
    )

    assert source.endpoints() == ["https://sts.test"]


@pytest.mark.parametrize(
    ("endpoint", "accepted"),
    [
        ("https://vpce-1.sts.eu-west-1.vpce.amazonaws.com", True),
        ("https://sts.test:8443/path", True),
        ("http://127.0.0.1:4566", True),
        ("http://localhost", True),
        ("http://[::1]:4566/", True),
        ("http://sts.test", False),
        ("http://127.0.0.1.test", False),
        ("http://127.0.0.1:4566@sts.test", False),
        ("https://user:password@sts.test", False),
        ("https://sts.test?query", False),
        ("https://sts.test#fragment", False),
        ("https://sts\0.test", False),
        ("https://", False),
        ("sts.test", False),
        ("ftp://sts.test", False),
    ],
)
def test_endpoint_is_safe_to_ask(endpoint: str, accepted: bool) -> None:
    """What proves the worker leaves this host only over TLS, and an endpoint is a URL that can be asked."""
    assert (problems(endpoint_url=endpoint) == []) is accepted


# Session names

SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
FACTS = st.text(st.sampled_from("ab.-: é"), min_size=1, max_size=4) | st.text(min_size=1, max_size=80)
STAMPS = st.sampled_from(list(STAMPED.values())).flatmap(
    lambda names: st.fixed_dictionaries(dict.fromkeys(names, FACTS))
)
many = settings(max_examples=1_000, deadline=None, database=None, derandomize=True)


@many
@given(STAMPS)
@example({"dag_id": "x"})
@example({"dag_id": "x" * 64})
@example({"dag_id": "x" * 65})
@example({"dag_id": "\n"})
def test_session_name_is_one_that_sts_takes(stamp: dict[str, str]) -> None:
    """Whatever a Dag is called, its session has a name that STS takes."""
    name = session_name(stamp)

    assert SESSION_NAME.fullmatch(name)
    assert fits(MODEL["RoleSessionName"], name)


@many
@given(STAMPS, STAMPS)
@example({"dag_id": "x" * 65}, {"dag_id": "x" * 66})
@example({"dag_id": "a b"}, {"dag_id": "a:b"})
@example({"dag_id": "a.b", "run_id": "c"}, {"dag_id": "a", "run_id": "b.c"})
@example({"dag_id": "a b"}, {"dag_id": session_name({"dag_id": "a b"})})
@example({"dag_id": "airflow"}, {})
@example({"dag_id": "a", "run_id": "b"}, {"dag_id": "a.b"})
def test_session_name_names_one_caller(one: dict[str, str], other: dict[str, str]) -> None:
    """Different stamps never share a name: what CloudTrail says of one task was not done by another."""
    assert (session_name(one) == session_name(other)) is (one == other)


@pytest.mark.parametrize(
    ("stamp", "name"),
    [
        ({}, "airflow"),
        ({"dag_id": "orders"}, "orders"),
        ({"dag_id": "orders", "run_id": "r1"}, "orders.r1"),
    ],
)
def test_session_name_is_readable(stamp: dict[str, str], name: str) -> None:
    """A stamp that STS takes as it is stands there as it is."""
    assert session_name(stamp) == name
