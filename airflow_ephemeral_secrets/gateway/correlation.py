"""
One id for a try of a task, in every request it makes: whoever reads a gateway's log finds the Dag run, and the lease.

The id is :attr:`Caller.correlation_id`, which stands in each audit line. Outside of a task it is drawn at random.
"""

from __future__ import annotations

import secrets
from uuid import UUID

from airflow_ephemeral_secrets.caller import Caller

AMAZON, AZURE, GOOGLE = ".amazonaws.com", ".azure-api.net", ".googleapis.com"
LIVE = "127.0.0.1"
"""The host of a live connection, behind which any gateway may be."""


class Correlation:
    """
    Name the requests of a caller.

    :param caller: who makes them
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.id = caller.correlation_id or secrets.token_hex(16)

    def headers(self, host: str, span: str) -> dict[str, str]:
        """
        Give the headers that name a request where the gateway of a host logs it.

        :param host: the name of the host, which tells its provider
        :param span: 16 hex digits, other ones for each request
        """
        given = {
            "traceparent": f"00-{self.id}-{span}-01",
            "X-Correlation-Id": self.id,
            "X-Request-Id": f"{self.id}-{span}",
        }
        live = host == LIVE
        if live or host.endswith(AMAZON):
            given["x-amzn-RequestId"] = str(UUID(self.id))
            given["X-Amzn-Trace-Id"] = f"Root=1-{self.id[:8]}-{self.id[8:]}"
        if live or host.endswith(AZURE):
            given["x-ms-client-request-id"] = str(UUID(self.id))
        if host.endswith(GOOGLE):
            given["x-goog-request-reason"] = self._reason()
        return given

    def _reason(self) -> str:
        facts = (self.caller.dag_id, self.caller.task_id, self.caller.run_id)
        reason = "airflow " + "/".join(fact or "-" for fact in facts)
        return "".join(char if char.isascii() and char.isprintable() else "?" for char in reason)[:250]


def span() -> str:
    """Draw the id of a request: 16 hex digits, as W3C Trace Context has them."""
    return secrets.token_hex(8)
