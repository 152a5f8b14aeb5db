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


class Syslog:
    """
    Send lines to syslog (RFC 3164) as datagrams, without ever waiting for it.

    :param place: the path of its socket, or ``IP:port`` for UDP
    :param facility: such as ``authpriv``
    """

    def __init__(self, place: str, facility: str) -> None:
        self.what = f"syslog {place}"
        self._place = place
        self._facility = facility
        self._handler: _Handler | None = None

    def write(self, line: bytes) -> None:
        """
        Send one line.

        :raises OSError: when syslog does not take it now
        """
        if self._handler is None:
            host, _, port = self._place.rpartition(":")
            address = self._place if self._place.startswith("/") else (host.strip("[]"), int(port))
            self._handler = _Handler(address, self._facility, socket.SOCK_DGRAM)
        self._handler.emit(logging.LogRecord(SCOPE, logging.INFO, "", 0, line.decode(), (), None))

    def close(self) -> None:
        if self._handler:
            self._handler.close()


class _Handler(SysLogHandler):
    ident = "airflow-ephemeral: "
    socket: socket.socket

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        if not self.unixsocket:
            self.socket.setblocking(False)

    def _connect_unixsocket(self, address: str) -> None:
        super()._connect_unixsocket(address)  # type: ignore[misc]  # typeshed leaves it out
        self.socket.setblocking(False)

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

        :raises OSError: when the package is missing, or its SDK does not start with these settings
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
        return partial(_lose, "is not installed: pip install 'airflow-ephemeral-secrets[otel]'")
    except Exception as error:  # the SDK raises whatever a setting leads it to, and may tell its value
        return partial(_lose, f"its SDK raised {type(error).__name__}; try: the OTEL_* variables of this process")
    return partial(provider.get_logger(SCOPE).emit, severity_number=SeverityNumber.INFO, severity_text="INFO")


def _lose(reason: str, **_: Any) -> None:
    raise OSError(reason)


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
