"""The stock HttpHook, with a name for each request, a pace, checks, and a trace."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowException

from airflow_ephemeral_secrets import _airflow
from airflow_ephemeral_secrets.gateway.answers import LARGEST_BODY, Answer, read
from airflow_ephemeral_secrets.gateway.call import Call
from airflow_ephemeral_secrets.gateway.checks import BadResponse, ResponseChecks
from airflow_ephemeral_secrets.gateway.correlation import Correlation
from airflow_ephemeral_secrets.gateway.pace import Pace, interval, shared_schedule
from airflow_ephemeral_secrets.gateway.trace import Trace

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

PATIENCE = timedelta(minutes=5)
CHUNK = 64 * 1024


class GatewayRefused(AirflowException):
    """
    Say that a gateway answered, but not well; no body and no header is in it.

    :param answer: what it answered
    :param lease_ids: of the leases that the request may have been made with
    """

    def __init__(self, message: str, answer: Answer, lease_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.answer = answer
        self.lease_ids = lease_ids


class GatewayHook(HttpHook):
    """
    Call an API behind a gateway; all else is as in the stock hook.

    Each request carries a W3C ``traceparent`` and the ids that gateways log, unless the Dag gives its own.

    :param checks: what each good response must be like, before anyone sees it
    :param trace: a path of fsspec's, below which a trace of each request is written
    :param rate_limit: such as ``10/s``: for all requests through this connection on this host
    :param patience: how long to wait for a turn under the rate limit
    :raises ValueError: when the rate limit is not a rate
    """

    def __init__(
        self,
        http_conn_id: str = HttpHook.default_conn_name,
        method: str = "GET",
        *,
        checks: ResponseChecks | None = None,
        trace: str | None = None,
        rate_limit: str | None = None,
        patience: timedelta = PATIENCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(method=method, http_conn_id=http_conn_id, **kwargs)
        if rate_limit:
            interval(rate_limit)
        self.checks = checks
        self.trace = trace
        self.rate_limit = rate_limit
        self.patience = patience

    def run_and_check(
        self, session: Session, prepped_request: PreparedRequest, extra_options: dict[Any, Any]
    ) -> Response:
        """
        Send one request, when it is its turn, and check what comes back.

        :raises GatewayRefused: when the status is not good
        :raises BadResponse: when a check fails
        :raises OutOfTurn: when its turn under the rate limit does not come in time
        """
        call = Call(self.http_conn_id, Correlation(_airflow.caller()), prepped_request)
        try:
            response = self._call(call, session, prepped_request, extra_options)
            call.ended("ok")
            return response
        except Exception as error:
            call.ended(error.check if isinstance(error, BadResponse) else type(error).__name__)
            raise
        finally:
            if self.trace:
                Trace(self.trace).write(call.name, call.facts())

    def _call(self, call: Call, session: Session, request: PreparedRequest, extra_options: dict[Any, Any]) -> Response:
        pace = Pace(self.rate_limit, shared_schedule(self.http_conn_id)) if self.rate_limit else None
        call.waited = pace.wait(self.patience.total_seconds()) if pace else 0.0
        call.sent()
        streaming, session.stream = session.stream, True
        response = super().run_and_check(session, request, {**extra_options, "check_response": False})
        if response.status_code >= 400 and extra_options.get("check_response", True):
            answer = self._refusal(call, response)
            if pace and answer.wait and answer.meaning == "throttled":
                pace.pause(answer.wait)
            what = f"{request.method} through connection {self.http_conn_id!r}"
            raise GatewayRefused(f"{what}: the gateway answered {answer}{_asks(answer)}", answer, call.lease_ids)
        if streaming and not self.checks:
            call.answered(response, None)
            return response
        body = self._body(response, call)
        if self.checks and response.status_code < 400:
            self.checks.check(response.headers.get("content-type", ""), body)
        return response

    def _body(self, response: Response, call: Call) -> bytes:
        """Read a body, and no more of it than is allowed."""
        pieces, size = [], 0
        call.answered(response, None)
        for piece in response.iter_content(CHUNK):
            pieces.append(piece)
            size += len(piece)
            if self.checks and self.checks.max_bytes is not None and size > self.checks.max_bytes:
                response.close()
                break
        body = b"".join(pieces)
        if self.checks:
            self.checks.check_size(size)
        response._content = body
        call.answered(response, body)
        return body

    def _refusal(self, call: Call, response: Response) -> Answer:
        """Read what an answer that is not good means, also one that breaks off, and let go of it."""
        call.answered(response, None)
        body = bytearray()
        with suppress(OSError):
            for piece in response.iter_content(LARGEST_BODY):
                body += piece
                if len(body) > LARGEST_BODY:
                    break
        response.close()
        return read(response.status_code, response.headers, bytes(body), time.time())


def _asks(answer: Answer) -> str:
    return "" if answer.wait is None else f", and asks for a pause of {answer.wait:g} s"
