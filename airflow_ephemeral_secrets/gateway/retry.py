"""
When to try again, by what the gateway said.

==========================================  ===================================================================
what the exception carries                  what happens
==========================================  ===================================================================
a throttled answer (429, 403 or 503 with    again after what the gateway asks for, and a random part more
``Retry-After``, a code of throttling)
a rejected token (401, or a code of one)    the lease is forgotten, and the next try mints; at once again: it fails
another answer of the 400s                  it fails: trying again is no use
500s, 408, 425, no answer at all, 407 of    again, exponential, full jitter
a live place that is gone
our own refusal                             again where the source may recover, else it fails
anything else                               what the task's own ``retries`` say
==========================================  ===================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from random import Random, SystemRandom
from typing import Any

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.backend import CredentialNotGranted
from airflow_ephemeral_secrets.gateway import evidence
from airflow_ephemeral_secrets.gateway.answers import Answer
from airflow_ephemeral_secrets.gateway.backoff import delay
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn
from airflow_ephemeral_secrets.rejection import reject

try:
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
except ImportError:  # before Airflow 3.3
    RetryDecision, RetryPolicy = None, object

LONGEST_REASON = 300
REMINTED = "airflow_ephemeral_secrets.reminted_in_try"
KEPT = timedelta(days=1)


class GatewayRetryPolicy(RetryPolicy):
    """
    Decide on retries by the answer of a gateway; for ``retry_policy`` of any operator, since Airflow 3.3.

    It works with whatever raised the exception: requests, httpx, aiohttp, botocore, urllib3, or the hook of this
    package. A task's ``retries`` still bound how often it tries.

    :param base_delay: the pause after the first failure, where the gateway asks for none; it doubles with each try
    :param max_delay: no pause is longer, whatever the gateway asks for
    :param random: draws the jitter
    :param now: gives epoch seconds, from which dates are counted
    :raises RuntimeError: before Airflow 3.3, whose operators take no ``retry_policy``
    :raises ValueError: when a delay is not positive, or they are in the wrong order
    """

    def __init__(
        self,
        base_delay: timedelta = timedelta(seconds=2),
        max_delay: timedelta = timedelta(minutes=10),
        *,
        random: Random | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if RetryDecision is None:
            raise RuntimeError("GatewayRetryPolicy needs Airflow 3.3: operators before it take no retry_policy")
        if not timedelta(0) < base_delay <= max_delay:
            raise ValueError("base_delay must be positive, and max_delay not shorter")
        self.base_delay = base_delay
        self.max_delay = max_delay
        self._random = random or SystemRandom()
        self._now = now

    def serialize(self) -> dict[str, Any]:
        """Give what makes an equal policy."""
        return {"base_delay": self.base_delay.total_seconds(), "max_delay": self.max_delay.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> GatewayRetryPolicy:
        """Make a policy of what :meth:`serialize` gave."""
        return cls(timedelta(seconds=data["base_delay"]), timedelta(seconds=data["max_delay"]))

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Mapping[str, Any] | None = None
    ) -> Any:
        """Decide whether to try again, when, and why."""
        found = evidence.outcome(exception, self._now())
        if isinstance(found, CredentialNotGranted):
            return self._not_granted(found, try_number)
        if isinstance(found, OutOfTurn):
            return self._again("the rate limit gave no turn", try_number, found.wait)
        if isinstance(found, Answer):
            return self._answered(found, exception, try_number, context)
        return self._again(f"no answer ({found})", try_number) if found else RetryDecision.default()

    def _answered(self, answer: Answer, exception: BaseException, try_number: int, context: Any) -> Any:
        if answer.meaning == "rejected":
            return self._rejected(answer, exception, try_number, context)
        if answer.meaning == "refused":
            return _fail(f"the gateway answered {answer}: no use in trying again")
        return self._again(f"the gateway answered {answer}", try_number, answer.wait)

    def _rejected(self, answer: Answer, exception: BaseException, try_number: int, context: Any) -> Any:
        """Forget the lease and try again, but never for the second time in a row."""
        told = f"the gateway answered {answer}"
        if _reminted(context) == try_number - 1 > 0:
            return _fail(f"{told}: the token was new, and is rejected again")
        rejection = reject(evidence.lease_ids(exception))
        if rejection.forgotten or rejection.ended:
            _remember(context, try_number)
            leases = f"lease {', '.join(rejection.forgotten)} is forgotten" if rejection.forgotten else "it had ended"
            return self._soon(f"{told}: {leases}, a new token is minted")
        if rejection.young:
            return _fail(f"{told}: lease {', '.join(rejection.young)} is new, and never worked")
        return _fail(f"{told}: the token is no lease of ours, and cannot be renewed")

    def _not_granted(self, error: CredentialNotGranted, try_number: int) -> Any:
        if error.may_pass:
            return self._again(f"no credential ({error.code})", try_number, error.retry_after)
        return _fail(f"no credential ({error.code}): no use in trying again")

    def _soon(self, reason: str) -> Any:
        return _retry(self._random.uniform(0, self.base_delay.total_seconds()), reason)

    def _again(self, reason: str, try_number: int, wait: float | None = None) -> Any:
        base, longest = self.base_delay.total_seconds(), self.max_delay.total_seconds()
        seconds = delay(self._random, try_number, wait, base=base, longest=longest)
        if not wait:
            return _retry(seconds, reason)
        cut = ", more than max_delay" if wait >= longest else ""
        return _retry(seconds, f"{reason} and asks for {wait:g} s{cut}")


def _retry(seconds: float, reason: str) -> Any:
    return RetryDecision.retry(timedelta(seconds=seconds), _line(f"{reason}; again in {seconds:.1f} s"))


def _fail(reason: str) -> Any:
    return RetryDecision.fail(_line(reason))


def _line(reason: str) -> str:
    return " ".join(str(_airflow.redact(reason)).split())[:LONGEST_REASON]


def _reminted(context: Any) -> int | None:
    """Find in which try of this task a token was last given up, as the task's own state remembers it."""
    with suppress(Exception):
        found = context["task_state_store"].get(REMINTED)
        return found if isinstance(found, int) else None
    return None


def _remember(context: Any, try_number: int) -> None:
    with suppress(Exception):
        context["task_state_store"].set(REMINTED, try_number, retention=KEPT)
