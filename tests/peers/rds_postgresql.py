"""
What stands in for a PostgreSQL of RDS: a relay before a real one, which asks for the token as it is, over TLS.

The real one trusts the relay; who is let in is up to the relay alone.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Callable

from tests.peers.redshift import ENCRYPT, PATIENCE
from tests.peers.tcp import TcpServer, exactly

IN_THE_CLEAR = b"R" + struct.pack("!ii", 8, 3)
DENIED = b"SFATAL\0C28000\0MPAM authentication failed\0\0"


class RdsPostgreSql(TcpServer):
    """
    Relay while the block lasts.

    :param port: of the PostgreSQL on this host
    :param takes: says whether a password is right
    :param tls: what the relay presents
    """

    def __init__(self, port: int, takes: Callable[[str], bool], tls: ssl.SSLContext) -> None:
        super().__init__()
        self._to = port
        self._takes = takes
        self._tls = tls

    def serve(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE)
        assert exactly(client, 8) == ENCRYPT, "the client asks for TLS first"
        client.sendall(b"S")
        with self._tls.wrap_socket(client, server_side=True) as stream:
            start = _message(stream)
            stream.sendall(IN_THE_CLEAR)
            assert exactly(stream, 1) == b"p"
            if not self._takes(_message(stream)[4:-1].decode()):
                return stream.sendall(b"E" + struct.pack("!i", len(DENIED) + 4) + DENIED)
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                server.sendall(start)
                return _carry(stream, server)


def _message(stream: socket.socket) -> bytes:
    """Read a length and what it is of."""
    length = exactly(stream, 4)
    return length + exactly(stream, struct.unpack("!i", length)[0] - 4)


def _carry(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [], PATIENCE)[0]
        if not ready:
            return
        for source, sink in ((client, server), (server, client)):
            if source in ready:
                data = source.recv(65_536)
                if not data:
                    return
                sink.sendall(data)
