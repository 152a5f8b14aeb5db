"""Tokens made from an AWS session, of every kind: whose session it is, who shares it, and when the token ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import botocore.session
import pytest

from airflow_ephemeral_secrets import config
from airflow_ephemeral_secrets.audit import Audit
from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.lease import LeaseKey
from airflow_ephemeral_secrets.policy import Policy
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.sources.aws_derived import AwsDerived
from tests.peers.aws_services import TOKEN, USER, at
from tests.peers.rogue import Rogue, close, reply
from tests.peers.sts import KEYS, PRINCIPAL, refused
from tests.sources.asking import ask, failure, given
from tests.sources.conftest import KEY_ID
from tests.sources.derived import ASSUME, KINDS, Kind, as_role, asked, codeartifact, ecr, every, rds, serving

CALLER = Caller(process="task", dag_id="orders", task_id="load", run_id="r1")
THREADS = 16
MINUTES = 60.0


@pytest.fixture
def aws(worker: pytest.MonkeyPatch) -> Iterator[Rogue]:
    yield from serving(worker)


@pytest.fixture
def short_lived(worker: pytest.MonkeyPatch) -> Iterator[Rogue]:
    """An AWS whose sessions end in ten minutes, whatever is asked for."""
    yield from serving(worker, expiration=10 * MINUTES)


def container(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Rogue:
    """A worker with a task role whose session ends some seconds from now."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server = Rogue(reply(json.dumps({**KEYS, "Token": KEYS["SessionToken"], "Expiration": at(seconds)}).encode()))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    return server


# Whose session


@every
def test_worker_makes_it_where_no_role_is_named(aws: Rogue, kind: Kind) -> None:
    """Without a role the worker's own identity makes the token, and nobody is asked for another."""
    credential = ask(kind.make()).credential

    assert asked(aws) == list(kind.asks)
    assert credential.principal.startswith(f"worker identity {KEY_ID} (env)")
    assert all(f"Credential={KEY_ID}/" in request.headers["Authorization"] for request in aws.requests)


@every
def test_role_makes_it_where_one_is_named(aws: Rogue, kind: Kind) -> None:
    """With a role the worker signs for the role's session alone, and that session for all the rest."""
    credential = ask(as_role(kind, external_id="an-id"), caller=CALLER).credential

    assert asked(aws) == [ASSUME, *kind.asks]
    assert credential.principal.startswith(PRINCIPAL)
    first, *rest = aws.requests
    assert f"Credential={KEY_ID}/" in first.headers["Authorization"]
    assert (first.form["RoleSessionName"], first.form["ExternalId"]) == ("orders.r1", "an-id")
    assert all(f"Credential={KEYS['AccessKeyId']}/" in request.headers["Authorization"] for request in rest)
    assert all(request.headers["X-Amz-Security-Token"] == KEYS["SessionToken"] for request in rest)


@every
@pytest.mark.parametrize("ttl", ["15m", "1h"])
def test_session_lives_as_long_as_the_token(aws: Rogue, kind: Kind, ttl: str) -> None:
    """A role is asked for as long as the token is wanted, which is never less than the shortest session of STS."""
    source = as_role(kind, ttl=ttl)
    if source.problems():
        source = as_role(kind, ttl="1m")
        ttl = "15m"
    ask(source)

    assert aws.requests[0].form["DurationSeconds"] == {"15m": "900", "1h": "3600"}[ttl]


@every
def test_caller_is_named_only_where_there_is_a_session_to_name(kind: Kind) -> None:
    """Attribution is stamped on the role's session; without a role it would only mint more, so all callers share."""
    assert kind.make(attribution="task").stamp(CALLER) == {}
    assert as_role(kind, attribution="task").stamp(CALLER) == {"dag_id": "orders", "run_id": "r1", "task_id": "load"}
    assert as_role(kind).stamp(CALLER) == {"dag_id": "orders", "run_id": "r1"}


@every
def test_facts_choose_the_role(aws: Rogue, kind: Kind) -> None:
    """The caller's facts fill the role and the external id, and make nothing that STS would not take."""
    source = kind.make(role_arn="arn:aws:iam::111122223333:role/{dag_id}", external_id="id-{team}")
    ask(source, caller=Caller(process="task", dag_id="orders", run_id="r1", team="sales"))
    assert aws.requests[0].form["RoleArn"] == "arn:aws:iam::111122223333:role/orders"
    assert aws.requests[0].form["ExternalId"] == "id-sales"

    before = len(aws.requests)
    assert failure(source, caller=Caller(process="task", dag_id="a:b", run_id="r", team="s")).code == "bad_role_arn"
    assert len(aws.requests) == before


@every
def test_worker_without_identity(nobody: pytest.MonkeyPatch, kind: Kind) -> None:
    """Without an identity nothing is asked for or signed, whether there is a role to assume or not."""
    with Rogue(close) as aws:
        nobody.setenv("AWS_ENDPOINT_URL", aws.url)
        errors = [failure(source) for source in (kind.make(), as_role(kind))]

    assert [(type(error), error.code) for error in errors] == [(SourceUnavailable, "no_identity")] * 2
    assert aws.connections == 0


@every
def test_role_that_the_worker_may_not_assume(worker: pytest.MonkeyPatch, kind: Kind) -> None:
    """STS's refusal is told as it is for a role by itself, and the service is not asked at all."""
    with Rogue(reply(refused("AccessDenied"), status=403)) as sts:
        worker.setenv("AWS_ENDPOINT_URL", sts.url)
        error = failure(as_role(kind))

    assert (type(error), error.code, sts.connections) == (SourceRefused, "AccessDenied", 1)
    assert "sts:AssumeRole of arn:aws:iam::111122223333:role/reader" in error.message
    assert "trust policy" in str(error.hint)


@pytest.mark.parametrize("make", [ecr, codeartifact])
def test_role_that_assumes_a_role_gets_an_hour(worker: pytest.MonkeyPatch, make: type[AwsDerived]) -> None:
    """The limit of role chaining is known before STS is asked."""
    with container(worker, 6 * 3600):
        error = failure(make(role_arn="arn:aws:iam::111122223333:role/reader", ttl="2h"))

    assert (type(error), error.code) == (SourceRefused, "role_chaining")


# When it ends


@every
def test_ends_by_its_ttl(aws: Rogue, kind: Kind) -> None:
    """What lives by itself is held for the ttl that is configured and not a second longer."""
    source = kind.make(ttl=kind.make().lives[0])
    made = given(source)

    end = source.mint(made).expires_at

    assert end is not None
    assert made.asked.wall < end <= made.asked.wall + source.hold


@every
def test_never_outlives_the_session_of_its_role(short_lived: Rogue, kind: Kind) -> None:
    """A token is good for nothing once the role's session that made it has ended."""
    source = as_role(kind, ttl="15m")
    made = given(source)

    end = source.mint(made).expires_at

    assert end is not None
    assert made.asked.wall + 9 * MINUTES < end <= made.asked.wall + 10.5 * MINUTES


@every
def test_never_outlives_the_session_of_the_worker(aws: Rogue, worker: pytest.MonkeyPatch, kind: Kind) -> None:
    """The same holds for a worker whose own session ends by itself."""
    source = kind.make(ttl="15m")
    made = given(source)
    with container(worker, 12 * MINUTES):
        end = source.mint(made).expires_at

    assert end is not None
    assert made.asked.wall + 11 * MINUTES < end <= made.asked.wall + 12.5 * MINUTES


@every
def test_session_that_is_over_makes_no_token(worker: pytest.MonkeyPatch, kind: Kind) -> None:
    """What a session that has ended would make is refused as dead, not handed out."""
    for _ in serving(worker, expiration=-MINUTES):
        error = failure(as_role(kind))

    assert (type(error), error.code) == (SourceFailed, "bad_lifetime")


# Who shares it


@every
def test_one_request_for_all_who_wait(aws: Rogue, kind: Kind) -> None:
    """Sixteen threads on one cold lease ask once for the session, once for the token, and get the same."""
    source, clock, barrier = as_role(kind), SystemClock(), threading.Barrier(THREADS)
    cache, held = LeaseCache(clock, Random(0), lambda: None), []

    def acquire() -> None:
        made = given(source)
        barrier.wait(30)
        lease = cache.acquire(
            LeaseKey("0" * 64), lambda _: source.mint(made), deadline=Deadline(clock, 30), hold=source.hold
        )
        held.append(lease.lease.credential)

    threads = [threading.Thread(target=acquire) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert asked(aws) == [ASSUME, *kind.asks]
    assert len(held) == THREADS
    assert len({credential.secrets() for credential in held}) == 1


# The configuration


@every
def test_ttl_is_one_that_can_be_had(kind: Kind) -> None:
    """A ttl outside of what the kind can have is a problem at load, and its bounds are not."""
    shortest, longest = kind.make().lives

    assert [kind.make(ttl=ttl).problems() for ttl in (shortest, longest)] == [[], []]
    for ttl in ("0s", f"{kind.make(ttl=shortest).hold - 1}s", f"{kind.make(ttl=longest).hold + 1}s"):
        (problem,) = kind.make(ttl=ttl).problems()
        assert problem.startswith(f"ttl: {kind.make().kind} takes {shortest} to {longest}, got")


@every
def test_role_is_of_the_partition_of_its_region(kind: Kind) -> None:
    """A role of China cannot be assumed in Ireland."""
    (problem,) = kind.make(role_arn="arn:aws-cn:iam::111122223333:role/reader").problems()
    assert problem == "role_arn: is of partition aws-cn, while region eu-west-1 is of aws"


@every
def test_external_id_is_for_a_role(kind: Kind) -> None:
    """An external id that nobody is told is a problem, not lost in silence."""
    assert kind.make(external_id="an-id").problems() == ["external_id: is of no use without role_arn"]
    assert as_role(kind, external_id="an-id").problems() == []


@every
def test_identity_is_part_of_the_facts(worker: pytest.MonkeyPatch, kind: Kind) -> None:
    """Workers with different identities on one host never share a token."""
    before = kind.make().ambient()
    worker.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")

    assert kind.make().ambient() != before


BOTOCORE = botocore.session.get_session()
CLIENTS = {
    "redshift": "redshift",
    "redshift_iam": "redshift",
    "workgroup": "redshift-serverless",
    "ecr": "ecr",
    "codeartifact": "codeartifact",
}


@pytest.mark.parametrize(("name", "service"), CLIENTS.items())
def test_endpoints_are_those_of_botocore(name: str, service: str) -> None:
    """The endpoint that is announced is the one that botocore would ask, in every region that has the service."""
    wrong = {}
    for partition in BOTOCORE.get_available_partitions():
        for region in BOTOCORE.get_available_regions(service, partition):
            client = BOTOCORE.create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b")
            announced = KINDS[name].make(region=region).endpoints()
            if announced != [client.meta.endpoint_url]:
                wrong[region] = announced

    assert wrong == {}


@every
def test_sts_is_announced_where_a_role_is_assumed(kind: Kind) -> None:
    """Whoever checks what can be reached is told of STS too."""
    assert as_role(kind).endpoints() == ["https://sts.eu-west-1.amazonaws.com", *kind.make().endpoints()]


@pytest.mark.parametrize("make", [rds, ecr])
def test_private_sts_is_the_worker_s_to_name(worker: pytest.MonkeyPatch, make: type[AwsDerived]) -> None:
    """A private endpoint of STS is taken from ``AWS_ENDPOINT_URL_STS``, and is part of the facts."""
    for aws in serving(worker):
        worker.setenv("AWS_ENDPOINT_URL_STS", aws.url)
        worker.setenv("AWS_ENDPOINT_URL_ECR", aws.url)
        worker.delenv("AWS_ENDPOINT_URL")
        source = make(role_arn="arn:aws:iam::111122223333:role/reader")
        ask(source)
        assert asked(aws)[0] == ASSUME
        assert source.ambient()["AWS_ENDPOINT_URL_STS"] == aws.url


# The page


def test_example_of_the_page_works(aws: Rogue) -> None:
    """Every connection of the example becomes what its hook reads: logins with their prefix, tokens where they go."""
    clock = SystemClock()
    leases = LeaseCache(clock, Random(0), lambda: None)
    file = config.read_file(str(Path(__file__).parents[2] / "docs" / "examples" / "aws-tokens.yaml"))
    resolver = Resolver(file, Policy(), leases, Audit(clock), clock)

    names = ("orders_db", "warehouse", "adhoc", "images", "batch_api")
    made = {name: resolver.connection(name, CALLER) for name in names}
    index = resolver.variable("PIP_INDEX_URL", CALLER)

    assert {name: spec and spec.login for name, spec in made.items()} == {
        "orders_db": "etl_orders",
        "warehouse": USER,
        "adhoc": USER,
        "images": "AWS",
        "batch_api": None,
    }
    assert made["orders_db"]
    assert made["batch_api"]
    assert str(made["orders_db"].password).startswith("orders.cluster-abc123.eu-west-1.rds.amazonaws.com:5432/?Action=")
    assert "Bearer k8s-aws-v1." in str(made["batch_api"].extra)
    assert index
    assert index.text.startswith(f"https://aws:{TOKEN}@acme-111122223333.d.codeartifact.")
