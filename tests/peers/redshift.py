"""
What stands in for Redshift: a relay before a real PostgreSQL, which checks the password.

Redshift's driver speaks the protocol of PostgreSQL. It only sends start-up parameters that PostgreSQL does not know,
and expects a version without words: the relay leaves out the ones, mends the other, ends TLS, and passes on the rest.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct

from tests.peers.tcp import TcpServer, exactly

ENCRYPT = struct.pack("!ii", 8, 80_877_103)
PROTOCOL_3 = struct.pack("!i", 196_608)
KNOWN = ("user", "database")
VERSION = b"server_version\0"
REDSHIFT = b"8.0.2\0"
PATIENCE = 10.0


class Redshift(TcpServer):
    """
    Relay while the block lasts.

    :param port: of the PostgreSQL on this host
    :param tls: what the relay presents
    """

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        super().__init__()
        self._to = port
        self._tls = tls

    def serve(self, client: socket.socket) -> None:
        _relay(client, self._to, self._tls)


def _relay(client: socket.socket, port: int, tls: ssl.SSLContext) -> None:
    client.settimeout(PATIENCE)
    assert exactly(client, 8) == ENCRYPT, "the driver asks for TLS first"
    client.sendall(b"S")
    with tls.wrap_socket(client, server_side=True) as driver, socket.create_connection(("127.0.0.1", port)) as server:
        (length,) = struct.unpack("!i", exactly(driver, 4))
        body = exactly(driver, length - 4)
        assert body[:4] == PROTOCOL_3
        words = body[4:].decode().split("\0")
        kept = [word for pair in zip(words[::2], words[1::2], strict=False) if pair[0] in KNOWN for word in pair]
        start = PROTOCOL_3 + "\0".join([*kept, "", ""]).encode()
        server.sendall(struct.pack("!i", len(start) + 4) + start)
        _carry(driver, server)


def _carry(driver: ssl.SSLSocket, server: socket.socket) -> None:
    """Carry bytes both ways in one thread: OpenSSL does not bear two at one connection."""
    answers = b""
    while True:
        ready = [driver] if driver.pending() else select.select([driver, server], [], [], PATIENCE)[0]
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            if source is driver:
                server.sendall(data)
            else:
                answers = _answer(answers + data, driver)
        if not ready:
            return


def _answer(data: bytes, driver: ssl.SSLSocket) -> bytes:
    """Pass on whole messages, and return what is left."""
    while len(data) >= 5 and len(data) > (length := struct.unpack("!i", data[1:5])[0]):
        code, body, data = data[:1], data[5 : length + 1], data[length + 1 :]
        if code == b"S" and body.startswith(VERSION):
            body = VERSION + REDSHIFT
        driver.sendall(code + struct.pack("!i", len(body) + 4) + body)
    return data
