"""The stock HttpOperator on the hook of this package; where it waits, it need not hold a worker's slot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from airflow.providers.http.operators.http import HttpOperator

from airflow_ephemeral_secrets.gateway.backoff import delay
from airflow_ephemeral_secrets.gateway.hook import PATIENCE, GatewayHook, GatewayRefused
from airflow_ephemeral_secrets.gateway.pace import OutOfTurn, interval

if TYPE_CHECKING:
    from airflow.sdk import Context
    from requests import Response

    from airflow_ephemeral_secrets.gateway.checks import ResponseChecks

BRIEF = timedelta(seconds=2)
BASE, LONGEST = 2.0, 600.0
SHARE = 8
"""Of the patience that is left no more than this part is added to the wait for a turn: who waited long asks often."""


class GatewayOperator(HttpOperator):
    """
    Call an API behind a gateway; all else is as in the stock operator.

    Deferred, it waits in the triggerer for its turn and for the pause that a gateway asks for, and the worker sends
    every request: what is stored for the time of waiting is a moment and a number.

    :param checks: what each good response must be like, before anyone sees it
    :param trace: a path of fsspec's, below which a trace of each request is written; templated
    :param rate_limit: such as ``10/s``: for all requests through this connection on this host
    :param patience: how long to wait at most: for a turn, and deferred also for the gateway's pauses
    :param deferrable: whether to leave the worker while waiting
    :raises ValueError: when the rate limit is not a rate
    """

    template_fields: Sequence[str] = (*HttpOperator.template_fields, "trace")
    _answered = False

    def __init__(
        self,
        *,
        checks: ResponseChecks | None = None,
        trace: str | None = None,
        rate_limit: str | None = None,
        patience: timedelta = PATIENCE,
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, **kwargs)
        if rate_limit:
            interval(rate_limit)
        self.checks = checks
        self.trace = trace
        self.rate_limit = rate_limit
        self.patience = patience

    @property
    def hook(self) -> GatewayHook:
        """Give the hook that calls; between two pages it waits itself."""
        defers = self.deferrable and not self._answered
        return GatewayHook(
            self.http_conn_id,
            self.method,
            auth_type=self.auth_type,
            tcp_keep_alive=self.tcp_keep_alive,
            tcp_keep_alive_idle=self.tcp_keep_alive_idle,
            tcp_keep_alive_count=self.tcp_keep_alive_count,
            tcp_keep_alive_interval=self.tcp_keep_alive_interval,
            checks=self.checks,
            trace=self.trace,
            rate_limit=self.rate_limit,
            patience=min(self.patience, BRIEF) if defers else self.patience,
        )

    def execute(self, context: Context) -> Any:
        """Call, and give what the stock operator gives."""
        return self.resume(context)

    def resume(self, context: Context, event: Any = None, waited: float = 0.0, pauses: int = 0) -> Any:
        """
        Call, or wait and call again.

        :param event: of the trigger, which tells nothing
        :param waited: seconds spent deferred so far
        :param pauses: how often
        """
        self._answered = False
        patience = self.patience.total_seconds()
        try:
            return self.execute_sync(context)
        except (GatewayRefused, OutOfTurn) as error:
            pause = None if self._answered or not self.deferrable else _pause(error, pauses, patience - waited)
            if pause is None and isinstance(error, OutOfTurn):
                raise OutOfTurn(error.rate, error.wait, patience) from None
            if pause is None:
                raise
        return self._wait(pause, waited + pause, pauses + 1)

    def paginate_sync(self, response: Response) -> Any:
        """Fetch further pages; a pause between two pages is not deferred, which would forget those before it."""
        self._answered = True
        return super().paginate_sync(response)

    def _wait(self, pause: float, waited: float, pauses: int) -> Any:
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

        self.log.info("waiting for %.1f s without a worker", pause)
        self.defer(
            trigger=TimeDeltaTrigger(timedelta(seconds=pause)),
            method_name="resume",
            kwargs={"waited": waited, "pauses": pauses},
        )


def _pause(error: GatewayRefused | OutOfTurn, pauses: int, left: float) -> float | None:
    """
    Give the seconds to wait, or None where waiting does not help, or where what is asked for is more than is left.

    :param left: seconds of patience
    """
    if isinstance(error, OutOfTurn):
        more = delay(SystemRandom(), pauses + 1, None, base=BASE, longest=min(LONGEST, left / SHARE))
        return min(error.wait + more, left) if error.wait <= left else None
    wait = error.answer.wait
    if error.answer.meaning != "throttled" or left <= 0 or (wait or 0.0) > left:
        return None
    return delay(SystemRandom(), pauses + 1, wait, base=BASE, longest=min(LONGEST, left))
