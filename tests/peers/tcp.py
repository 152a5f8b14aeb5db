"""
A server of ours that speaks a protocol of its own, one thread for a client.

.. code-block:: python

    class Echo(TcpServer):
        def serve(self, client: socket.socket) -> None:
            client.sendall(exactly(client, 4))
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import TypeVar

POLL = 0.02

Self = TypeVar("Self", bound="TcpServer")


class TcpServer:
    """Serve on a free loopback port while the block lasts."""

    def __init__(self) -> None:
        served = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    served.serve(self.request)

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), daemon=True)

    def __enter__(self: Self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def serve(self, client: socket.socket) -> None:
        """Talk to one client."""


def exactly(stream: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
