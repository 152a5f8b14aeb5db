"""Where audit lines go besides the file: syslog, and OpenTelemetry's logs."""

from __future__ import annotations

import atexit
import logging
import socket
import threading
from collections.abc import Callable
from functools import partial
from logging.handlers import SysLogHandler
from typing import Any

SCOPE = "airflow_ephemeral_secrets.audit"
PATIENCE = 2.0


class Syslog(SysLogHandler):
    """
    Send lines to syslog (RFC 3164) as datagrams, without ever waiting for it.

    :param place: the path of its socket, or ``IP:port`` for UDP
    :param facility: such as ``authpriv``
    """

    ident = "airflow-ephemeral: "
    socket: socket.socket

    def __init__(self, place: str, facility: str) -> None:
        host, _, port = place.rpartition(":")
        address = place if place.startswith("/") else (host.strip("[]"), int(port))
        super().__init__(address, facility, socket.SOCK_DGRAM)
        self.what = f"syslog {place}"
        if not self.unixsocket:
            self.socket.setblocking(False)

    def _connect_unixsocket(self, address: str) -> None:
        super()._connect_unixsocket(address)  # type: ignore[misc]  # typeshed leaves it out
        self.socket.setblocking(False)

    def write(self, line: bytes) -> None:
        """
        Send one line.

        :raises OSError: when syslog does not take it now
        """
        self.emit(logging.LogRecord(SCOPE, logging.INFO, "", 0, line.decode(), (), None))

    def handleError(self, record: logging.LogRecord) -> None:  # the name is logging's
        """Let whoever writes know: it is called where the error is handled."""
        raise  # noqa: PLE0704  # the error being handled


class OpenTelemetry:
    """
    Hand lines to OpenTelemetry's log pipeline: that of the process, or else one of our own to an OTLP collector.

    Ours sends in a thread of its own, over HTTP, to what ``OTEL_EXPORTER_OTLP_ENDPOINT`` and the like say. At the end
    of the process it is waited for, two seconds at most.

    """

    what = "OpenTelemetry"

    def __init__(self) -> None:
        self._emit: Callable[..., None] | None = None

    def write(self, line: bytes) -> None:
        """
        Hand over one line.

        :raises OSError: when the package is missing
        """
        if self._emit is None:
            self._emit = _emitter()
        self._emit(body=line.decode(), event_name=SCOPE)


def _emitter() -> Callable[..., None]:
    try:
        from opentelemetry._logs import SeverityNumber, get_logger_provider
        from opentelemetry.sdk._logs import LoggerProvider

        provider = get_logger_provider()
        if not isinstance(provider, LoggerProvider):
            provider = _own_provider()
    except ImportError:
        raise OSError("is not installed: pip install 'airflow-ephemeral-secrets[otel]'") from None
    return partial(provider.get_logger(SCOPE).emit, severity_number=SeverityNumber.INFO, severity_text="INFO")


def _own_provider() -> Any:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(timeout=PATIENCE)))
    atexit.register(_flush, provider)
    return provider


def _flush(provider: Any) -> None:
    """Send what is left; Airflow runs this at the end of a task's process too."""
    sender = threading.Thread(target=provider.force_flush, daemon=True)
    sender.start()
    sender.join(PATIENCE)
