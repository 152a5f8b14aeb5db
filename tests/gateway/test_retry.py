"""What a try of a task comes to, by what its exception carries."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from airflow_ephemeral_secrets import backend
from airflow_ephemeral_secrets.backend import CredentialNotGranted
from airflow_ephemeral_secrets.errors import AccessDenied, SourceFailed, SourceRefused
from airflow_ephemeral_secrets.gateway import retry
from airflow_ephemeral_secrets.gateway.answers import Answer
from airflow_ephemeral_secrets.gateway.hook import GatewayRefused
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn
from airflow_ephemeral_secrets.gateway.retry import REMINTED, GatewayRetryPolicy
from airflow_ephemeral_secrets.resolver import Resolver
from airflow_ephemeral_secrets.testing import FakeClock
from tests.resolving import CALLER, resolver

policies = pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="needs Airflow 3.3")
BASE, MOST = timedelta(seconds=2), timedelta(minutes=10)


class Store:
    """The state of a task, as Airflow 3.3 keeps it."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def get(self, key: str) -> int | None:
        return self.held.get(key)

    def set(self, key: str, value: int, *, retention: timedelta) -> None:
        assert retention > timedelta(0)
        self.held[key] = value


def refused(status: int, meaning: Any, code: str = "", wait: float | None = None, *leases: str) -> GatewayRefused:
    return GatewayRefused("told", Answer(status, meaning, code, wait), leases)


def decide(error: BaseException, try_number: int = 1, seed: int = 7, context: Any = None) -> Any:
    return GatewayRetryPolicy(random=Random(seed)).evaluate(error, try_number, 5, context)


def delays(error: BaseException, try_number: int = 1) -> list[float]:
    """Draw the pauses of a hundred mapped tasks."""
    found = [decide(error, try_number, seed).retry_delay for seed in range(100)]
    return sorted(delay.total_seconds() for delay in found)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> tuple[Resolver, FakeClock]:
    """A resolver of this process that has been asked for one token."""
    clock = FakeClock()
    asked = resolver(clock=clock)
    asked.connection("api", CALLER)
    monkeypatch.setattr("airflow_ephemeral_secrets.rejection.resolvers", lambda: [asked])
    return asked, clock


def lease_id(asked: Resolver) -> str:
    ((_, lease),) = asked.leases.memory.leases()
    return lease.lease_id


@pytest.mark.parametrize(
    ("error", "action", "reason"),
    [
        (
            refused(429, "throttled", "Slow", 30.0),
            "retry",
            "the gateway answered 429 Slow and asks for 30 s; again in ",
        ),
        (refused(503, "failing"), "retry", "the gateway answered 503; again in "),
        (refused(404, "refused"), "fail", "the gateway answered 404: no use in trying again"),
        (
            refused(403, "throttled", "CallQuotaExceeded", 3600.0),
            "retry",
            "asks for 3600 s, more than max_delay; again",
        ),
        (ConnectionResetError("secret"), "retry", "no answer (ConnectionResetError); again in "),
        (OutOfTurn("10/s", 40.0, 5.0), "retry", "the rate limit gave no turn and asks for 40 s; again in "),
        (CredentialNotGranted("told", "denied"), "fail", "no credential (denied): no use in trying again"),
        (CredentialNotGranted("told", "timeout", may_pass=True), "retry", "no credential (timeout); again in "),
        (
            CredentialNotGranted("told", "429", may_pass=True, retry_after=9.0),
            "retry",
            "no credential (429) and asks for 9 s; again in ",
        ),
        (ValueError("a bug"), "default", None),
    ],
)
def test_decisions(error: BaseException, action: str, reason: str | None) -> None:
    """Each failure has one decision, and a reason of one line in which nothing of the exception's text stands."""
    decision = decide(error)
    assert decision.action.value == action
    assert (reason is None) == (decision.reason is None)
    assert (reason or "") in (decision.reason or "")
    assert "secret" not in (decision.reason or "")


def test_deep_in_the_chain() -> None:
    """What lies behind another exception decides as well."""
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = KeyError("wrapped")
    wrapped.__cause__.__context__ = refused(429, "throttled", "", 30.0)
    assert decide(wrapped).action.value == "retry"


def test_many_come_back_apart() -> None:
    """A hundred tasks that were told to wait 30 s come back within 30 s after it, and no ten of them in one second."""
    found = delays(refused(429, "throttled", "", 30.0))
    assert found[0] >= 30
    assert found[-1] <= 60
    assert max(sum(start <= delay < start + 1 for delay in found) for start in found) < 10


def test_without_a_wait_the_bound_doubles() -> None:
    """Full jitter: from nothing to a bound that doubles with each try, up to the longest delay."""
    for try_number, bound in ((1, 2), (2, 4), (5, 32), (11, 600), (10_000, 600)):
        found = delays(refused(500, "failing"), try_number)
        assert 0 <= found[0] < bound / 10
        assert bound * 0.9 < found[-1] <= bound


def test_a_long_wait_is_cut_and_still_apart() -> None:
    """A wait beyond the longest delay is cut, and all do not come back at that very moment."""
    found = delays(refused(429, "throttled", "", 6 * 3600.0))
    assert found[0] >= 300
    assert found[-1] <= 600
    assert found[-1] - found[0] > 200


def test_a_wait_is_never_undercut() -> None:
    """Nobody comes back before the gateway said, also close to the longest delay."""
    found = delays(refused(429, "throttled", "", 590.0))
    assert found[0] >= 590
    assert found[-1] <= 600


def test_rejected_lease_is_forgotten_once(held: tuple[Resolver, FakeClock]) -> None:
    """A token that worked is forgotten when it is rejected, and a new one minted; if that is rejected too, it fails."""
    asked, clock = held
    clock.advance(60)
    gone, context = lease_id(asked), {"task_state_store": Store()}
    first = decide(refused(401, "rejected", "", None, gone), 1, context=context)
    assert (first.action.value, asked.leases.leases()) == ("retry", {})
    assert first.retry_delay <= BASE
    assert f"the gateway answered 401: lease {gone} is forgotten, a new token is minted" in first.reason

    asked.connection("api", CALLER)
    clock.advance(60)
    second = decide(refused(401, "rejected", "", None, lease_id(asked)), 2, context=context)
    assert second.action.value == "fail"
    assert "the token was new, and is rejected again" in second.reason
    assert len(asked.leases.leases()) == 1


def test_a_later_rejection_may_be_renewed_again(held: tuple[Resolver, FakeClock]) -> None:
    """Once means once in a row: a rejection some tries later is another story."""
    asked, clock = held
    clock.advance(60)
    context = {"task_state_store": Store()}
    context["task_state_store"].held[REMINTED] = 1
    assert decide(refused(401, "rejected", "", None, lease_id(asked)), 4, context=context).action.value == "retry"


def test_young_lease_never_worked(held: tuple[Resolver, FakeClock]) -> None:
    """A token that is rejected within seconds of its mint never worked: another one would not either."""
    asked, clock = held
    clock.advance(5)
    decision = decide(refused(401, "rejected", "", None, lease_id(asked)))
    assert decision.action.value == "fail"
    assert f"lease {lease_id(asked)} is new, and never worked" in decision.reason


def test_ended_lease(held: tuple[Resolver, FakeClock]) -> None:
    """A token that ended by itself while its task worked on is followed by a new one."""
    _, clock = held
    clock.advance(901)
    assert "it had ended, a new token is minted" in decide(refused(401, "rejected")).reason


def test_a_token_of_someone_else(held: tuple[Resolver, FakeClock]) -> None:
    """A rejected token that is no lease of ours cannot be renewed."""
    decision = decide(refused(401, "rejected"))
    assert (decision.action.value, "no lease of ours" in decision.reason) == ("fail", True)


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [(SourceFailed("503"), True), (SourceRefused("no"), False), (AccessDenied("no"), False), (RuntimeError(), False)],
)
def test_what_may_pass(error: Exception, may_pass: bool) -> None:
    """The backend says whether a source failed in a way that may pass, and how long its provider asks to wait."""

    def fail() -> None:
        if isinstance(error, SourceFailed):
            error.retry_after = 3.0
        raise error

    with pytest.raises(CredentialNotGranted) as caught:
        backend._closed("connection 'api'", fail)
    assert (caught.value.may_pass, caught.value.retry_after) == (may_pass, 3.0 if may_pass else None)


def test_round_trip() -> None:
    """What it serialises to makes an equal policy."""
    policy = GatewayRetryPolicy(timedelta(seconds=1.5), timedelta(hours=1))
    again = GatewayRetryPolicy.deserialize(policy.serialize())
    assert (again.base_delay, again.max_delay) == (policy.base_delay, policy.max_delay)


@pytest.mark.parametrize(("base", "most"), [(0, 60), (-1, 60), (61, 60)])
def test_bad_delays(base: int, most: int) -> None:
    """Delays that make no sense are an error where the Dag is written."""
    with pytest.raises(ValueError, match="base_delay must be positive, and max_delay not shorter"):
        GatewayRetryPolicy(timedelta(seconds=base), timedelta(seconds=most))


def test_before_airflow_33(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without native retry policies the class says which Airflow it needs, and the package still imports."""
    monkeypatch.setattr(retry, "RetryDecision", None)
    with pytest.raises(RuntimeError, match=r"GatewayRetryPolicy needs Airflow 3\.3"):
        GatewayRetryPolicy()


def test_serialises_with_the_dag() -> None:
    """A Dag with it serialises, also from default_args and on mapped tasks, and says that there is one."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("with_policy", default_args={"retry_policy": GatewayRetryPolicy()}) as dag:
        EmptyOperator(task_id="one")
        EmptyOperator.partial(task_id="mapped").expand(doc_md=["a", "b"])
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert [again.get_task(name).has_retry_policy for name in ("one", "mapped")] == [True, True]
