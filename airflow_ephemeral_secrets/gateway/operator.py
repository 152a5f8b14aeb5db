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
        """Give the hook that calls."""
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
            patience=min(self.patience, BRIEF) if self.deferrable else self.patience,
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
        try:
            return self.execute_sync(context)
        except (GatewayRefused, OutOfTurn) as error:
            pause = None if self._answered or not self.deferrable else _pause(error, pauses)
            if pause is None or waited + pause > self.patience.total_seconds():
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


def _pause(error: GatewayRefused | OutOfTurn, pauses: int) -> float | None:
    """Give the seconds to wait, or None where waiting does not help."""
    if isinstance(error, GatewayRefused):
        if error.answer.meaning != "throttled":
            return None
        wait = error.answer.wait
    else:
        wait = error.wait
    return delay(SystemRandom(), pauses + 1, wait, base=BASE, longest=LONGEST)
