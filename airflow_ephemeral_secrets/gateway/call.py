"""One request, as a trace tells it: names and numbers, never what is in a header, a query or a body."""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from airflow_ephemeral_secrets.gateway.answers import moment
from airflow_ephemeral_secrets.gateway.correlation import Correlation, span
from airflow_ephemeral_secrets.rejection import leases_of

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

TOLD = (
    "content-type",
    "content-length",
    "date",
    "retry-after",
    "apim-request-id",
    "x-amz-apigw-id",
    "x-amzn-errortype",
    "x-amzn-requestid",
    "x-ms-request-id",
    "x-request-id",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)
"""Headers of a response whose values are told."""
LONGEST_PATH = 1000
MOST_NAMES = 100


class Call:
    """
    Name a request, and note what becomes of it.

    :param conn_id: through which it is made
    :param correlation: of whoever makes it
    :param request: is given the headers that it does not have
    """

    def __init__(self, conn_id: str, correlation: Correlation, request: PreparedRequest) -> None:
        self.span = span()
        url = urlsplit(request.url or "")
        for name, value in correlation.headers(url.hostname or "", self.span).items():
            request.headers.setdefault(name, value)
        self.lease_ids = leases_of(request.headers)
        self.waited = 0.0
        self._caller = correlation.caller
        self._began = time.monotonic()
        self._facts: dict[str, Any] = {
            "time": moment(time.time()),
            "correlation_id": correlation.id,
            "span_id": self.span,
            "conn_id": conn_id,
            "lease_ids": self.lease_ids,
            "method": request.method,
            "host": url.netloc.rpartition("@")[2],
            "path": url.path[:LONGEST_PATH],
            "query": [name for name, _ in parse_qsl(url.query, keep_blank_values=True)][:MOST_NAMES],
            "request": {"headers": sorted(request.headers)[:MOST_NAMES], **_weighed(request.body)},
        }

    @property
    def name(self) -> str:
        """Of its trace: no two calls have the same."""
        return f"{self._facts['correlation_id']}-{self.span}"

    def sent(self) -> None:
        """Note that its turn has come."""
        self._began = time.monotonic()

    def answered(self, response: Response, body: bytes | None) -> None:
        """
        Note the answer.

        :param body: None where nobody has read it
        """
        headers = {name: response.headers[name] for name in TOLD if name in response.headers}
        self._facts |= {
            "status": response.status_code,
            "duration_ms": self._milliseconds(),
            "response": {"headers": headers, **_weighed(body)},
        }

    def ended(self, outcome: str) -> None:
        """Note how it ended: ``ok``, or one word for what went wrong."""
        self._facts.setdefault("duration_ms", self._milliseconds())
        self._facts["outcome"] = outcome

    def facts(self) -> Mapping[str, Any]:
        """Give the content of its trace."""
        return {**self._facts, "waited_ms": round(self.waited * 1000), "caller": _told(self._caller)}

    def _milliseconds(self) -> float:
        return round((time.monotonic() - self._began) * 1000, 1)


def _weighed(body: Any) -> dict[str, Any]:
    """Give size and hash of a body that is at hand."""
    raw = body.encode() if isinstance(body, str) else body
    if not isinstance(raw, bytes):
        return {} if raw is None else {"bytes": None}
    return {"bytes": len(raw), "sha256": sha256(raw).hexdigest()}


def _told(caller: Any) -> dict[str, Any]:
    names = ("dag_id", "run_id", "task_id", "map_index", "try_number", "process")
    return {name: getattr(caller, name) for name in names}
