"""
A Kafka broker that asks who comes: there is none to install.

The login is ours, from https://kafka.apache.org/protocol, RFC 5802 and RFC 7628. Behind it is the mock cluster of
librdkafka, which knows topics, messages and groups, but no logins. A session that a token began ends with the token,
unless the client logs in again before (KIP-368).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple

from tests.peers.rogue import Peer, Rogue

HANDSHAKE, VERSIONS, AUTHENTICATE = 17, 18, 36
LOGIN = struct.pack(">hhhhhh", HANDSHAKE, 0, 1, AUTHENTICATE, 0, 1)
"""The requests of a login, and the versions of each that are understood, as a list of them has it."""
UNSUPPORTED_VERSION, WRONG_MECHANISM, REFUSED = 35, 33, 58
SCRAM = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
BEARER = re.compile(r"n,[^,]*,\x01(?:[a-z]+=[^\x01]*\x01)*auth=Bearer ([^\x01]+)\x01.*", re.IGNORECASE)
SALT, ROUNDS = b"a salt of sixteen", 4096
TOPIC = "a-topic"


class KafkaBroker(Rogue):
    """
    Serve while the block lasts.

    :param logins: the password of each user
    :param tls: for SASL_SSL
    :param ends: says when a token that is good ends, in epoch seconds
    """

    def __init__(
        self,
        logins: dict[str, str],
        *,
        tls: ssl.SSLContext | None = None,
        ends: Callable[[str], float | None] = lambda _: None,
    ) -> None:
        from confluent_kafka import Producer

        super().__init__(self._converse, tls=tls)
        self._logins = logins
        self._ends = ends
        self._cluster: Any = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        self._cluster.list_topics(TOPIC, timeout=10)
        (behind,) = self._cluster.list_topics(timeout=10).brokers.values()
        self._behind: int = behind.port
        self.proven: list[tuple[str, str]] = []
        """Who logged in, and how."""

    def say(self, message: bytes) -> None:
        """Put a message into the topic."""
        self._cluster.produce(TOPIC, message)
        self._cluster.flush(10)

    def _converse(self, peer: Peer) -> None:
        proof: _Proof | None = None
        with peer.connection.makefile("rb") as stream, closing(_Relay(self._behind, self.port)) as cluster:
            while request := _request(stream):
                if request.api == VERSIONS:
                    answer = _versions(request, cluster)
                elif request.api == HANDSHAKE:
                    mechanism = _text(request.body)
                    known = mechanism in ("PLAIN", "OAUTHBEARER", *SCRAM)
                    proof = _Proof(mechanism, self._logins, self._ends) if known else None
                    answer = struct.pack(">ihi", request.number, 0 if proof else WRONG_MECHANISM, 0)
                elif request.api == AUTHENTICATE and proof:
                    answer = struct.pack(">i", request.number) + self._step(proof, request)
                elif proof and proof.done and time.time() < proof.ends:
                    answer = cluster.ask(request)
                else:
                    return
                peer.send(struct.pack(">i", len(answer)) + answer)

    def _step(self, proof: _Proof, request: _Request) -> bytes:
        said = proof.step(request.body[4:])
        if proof.done:
            self.proven.append((proof.user, proof.mechanism))
        code, text, told = (REFUSED, b"refused", b"") if said is None else (0, b"", said)
        answer = struct.pack(">hh", code, len(text)) + text + struct.pack(">i", len(told)) + told
        return answer + (struct.pack(">q", proof.lasts) if request.version else b"")


class _Relay:
    """A connection to the cluster, which calls itself what clients are to call it."""

    def __init__(self, there: int, here: int) -> None:
        self._there, self._here = (b"127.0.0.1" + struct.pack(">i", port) for port in (there, here))
        self._socket = socket.create_connection(("127.0.0.1", there))
        self._stream = self._socket.makefile("rb")

    def ask(self, request: _Request) -> bytes:
        self._socket.sendall(request.raw)
        return (_frame(self._stream) or b"").replace(self._there, self._here)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class _Proof:
    """One conversation of SASL: each step answers with bytes, or with None to refuse."""

    def __init__(self, mechanism: str, logins: dict[str, str], ends: Callable[[str], float | None]) -> None:
        self.mechanism = mechanism
        self.user = ""
        self.done = False
        self.ends = float("inf")
        self._logins = logins
        self._ends = ends
        self._first = self._challenge = ""

    def step(self, said: bytes) -> bytes | None:
        if self.mechanism == "PLAIN":
            _, self.user, password = said.decode().split("\0")
            self.done = self._logins.get(self.user) == password
            return b"" if self.done else None
        if self.mechanism == "OAUTHBEARER":
            return self._token(said.decode())
        return self._last(said.decode()) if self._first else self._begin(said.decode())

    @property
    def lasts(self) -> int:
        """Milliseconds for which the session lasts, 0 for one without an end."""
        return 0 if self.ends == float("inf") else max(1, int((self.ends - time.time()) * 1_000))

    def _token(self, said: str) -> bytes | None:
        """Look at the client's token (RFC 7628, section 3.1)."""
        found = BEARER.fullmatch(said)
        ends = self._ends(found[1]) if found else None
        if ends is None:
            return None
        self.user, self.ends, self.done = "the token's", ends, True
        return b""

    def _begin(self, said: str) -> bytes:
        self._first = said.removeprefix("n,,")
        found = dict(part.split("=", 1) for part in self._first.split(","))
        self.user = found["n"].replace("=2C", ",").replace("=3D", "=")
        nonce = found["r"] + base64.b64encode(os.urandom(12)).decode()
        self._challenge = f"r={nonce},s={base64.b64encode(SALT).decode()},i={ROUNDS}"
        return self._challenge.encode()

    def _last(self, said: str) -> bytes | None:
        """Look at the client's proof, and give the server's (RFC 5802, section 3)."""
        digest = SCRAM[self.mechanism]
        without, _, proof = said.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(digest, self._logins.get(self.user, "").encode(), SALT, ROUNDS)
        key = hmac.digest(salted, b"Client Key", digest)
        text = f"{self._first},{self._challenge},{without}".encode()
        signature = hmac.digest(hashlib.new(digest, key).digest(), text, digest)
        right = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self.done = hmac.compare_digest(base64.b64decode(proof), right) and self.user in self._logins
        server = hmac.digest(hmac.digest(salted, b"Server Key", digest), text, digest)
        return f"v={base64.b64encode(server).decode()}".encode() if self.done else None


class _Request(NamedTuple):
    """One request: its kind, its version, its number, its body, and all of it."""

    api: int
    version: int
    number: int
    body: bytes
    raw: bytes


def _frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    return stream.read(*struct.unpack(">i", head)) if len(head) == 4 else None


def _request(stream: BinaryIO) -> _Request | None:
    content = _frame(stream)
    if content is None:
        return None
    api, version, number, length = struct.unpack(">hhih", content[:10])
    return _Request(api, version, number, content[10 + max(0, length) :], struct.pack(">i", len(content)) + content)


def _versions(request: _Request, cluster: _Relay) -> bytes:
    """List what the cluster understands, and the requests of a login."""
    if request.version:
        return struct.pack(">ihi", request.number, UNSUPPORTED_VERSION, 0)
    answer = cluster.ask(request)
    code, count = struct.unpack(">hi", answer[4:10])
    return answer[:4] + struct.pack(">hi", code, count + 2) + answer[10:] + LOGIN


def _text(body: bytes) -> str:
    (length,) = struct.unpack(">h", body[:2])
    return body[2 : 2 + length].decode()
