"""
What stands in for a MySQL of RDS: it asks for the password in the clear, over TLS, as for an IAM token, and then
answers every statement with OK.

Only the handshake is played: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable

from tests.peers.tcp import TcpServer, exactly

LONG_PASSWORD, WITH_DB, PROTOCOL_41, TLS = 0x1, 0x8, 0x200, 0x800
TRANSACTIONS, SECURE, PLUGINS = 0x2000, 0x8000, 0x80000
CAPABILITIES = LONG_PASSWORD | WITH_DB | PROTOCOL_41 | TLS | TRANSACTIONS | SECURE | PLUGINS
UTF8, AUTOCOMMIT, QUIT = 45, 2, 1
PATIENCE = 10.0
GREETING = (
    b"\x0a8.0.35\0"
    + struct.pack("<I8sxHBHHB10x", 1, b"a" * 8, CAPABILITIES & 0xFFFF, UTF8, AUTOCOMMIT, CAPABILITIES >> 16, 21)
    + b"b" * 12
    + b"\0mysql_native_password\0"
)
IN_THE_CLEAR = b"\xfemysql_clear_password\0"
OK = b"\0\0\0\x02\0\0\0"
DENIED = b"\xff\x15\x04#28000Access denied"


class Rds(TcpServer):
    """
    Serve while the block lasts.

    :param token: the only password that is taken, or what says whether one is
    :param tls: what the server presents
    """

    def __init__(self, token: str | Callable[[str], bool], tls: ssl.SSLContext) -> None:
        super().__init__()
        self._right = token.__eq__ if isinstance(token, str) else token
        self._tls = tls

    def serve(self, client: socket.socket) -> None:
        _serve(client, self._right, self._tls)


def _serve(client: socket.socket, takes: Callable[[str], bool], tls: ssl.SSLContext) -> None:
    client.settimeout(PATIENCE)
    _send(client, 0, GREETING)
    _, asked = _receive(client)
    assert struct.unpack("<I", asked[:4])[0] & TLS, "the client asks for TLS"
    with tls.wrap_socket(client, server_side=True) as stream:
        number, _ = _receive(stream)
        _send(stream, number + 1, IN_THE_CLEAR)
        number, password = _receive(stream)
        right = takes(password.decode().removesuffix("\0"))
        _send(stream, number + 1, OK if right else DENIED)
        while right and _receive(stream)[1][0] != QUIT:
            _send(stream, 1, OK)


def _send(stream: socket.socket, number: int, body: bytes) -> None:
    stream.sendall(struct.pack("<I", len(body))[:3] + bytes([number]) + body)


def _receive(stream: socket.socket) -> tuple[int, bytes]:
    head = exactly(stream, 4)
    return head[3], exactly(stream, struct.unpack("<I", head[:3] + b"\0")[0])
