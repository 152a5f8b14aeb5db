"""
As much of a Kafka broker as it takes to log in and ask for its topics: there is no broker to install.

Ours, from https://kafka.apache.org/protocol, RFC 5802 and RFC 7628; the client that talks to it is librdkafka. A
session that a token began ends with the token, unless the client logs in again before (KIP-368).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import ssl
import struct
import time
from collections.abc import Callable
from typing import BinaryIO

from tests.peers.rogue import Peer, Rogue

METADATA, HANDSHAKE, VERSIONS, AUTHENTICATE = 3, 17, 18, 36
SUPPORTED = {METADATA: 0, HANDSHAKE: 1, VERSIONS: 0, AUTHENTICATE: 1}
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
        super().__init__(self._converse, tls=tls)
        self._logins = logins
        self._ends = ends
        self.proven: list[tuple[str, str]] = []
        """Who logged in, and how."""

    def _converse(self, peer: Peer) -> None:
        stream = peer.connection.makefile("rb")
        proof: _Proof | None = None
        user = None
        while request := _request(stream):
            api, version, correlation, body = request
            if api == VERSIONS:
                listed = b"".join(struct.pack(">hhh", key, 0, highest) for key, highest in SUPPORTED.items())
                code = UNSUPPORTED_VERSION if version else 0
                answer = struct.pack(">hi", code, len(SUPPORTED)) + listed
            elif api == HANDSHAKE:
                mechanism = _text(body)
                known = mechanism in ("PLAIN", "OAUTHBEARER", *SCRAM)
                proof = _Proof(mechanism, self._logins, self._ends) if known else None
                answer = struct.pack(">hi", 0 if proof else WRONG_MECHANISM, 0)
            elif api == AUTHENTICATE and proof:
                said = proof.step(body[4:])
                user = proof.user if proof.done else None
                if user:
                    self.proven.append((user, proof.mechanism))
                code, text, told = (REFUSED, b"refused", b"") if said is None else (0, b"", said)
                answer = struct.pack(">hh", code, len(text)) + text + struct.pack(">i", len(told)) + told
                answer += struct.pack(">q", proof.lasts) if version else b""
            elif api == METADATA and user and proof and time.time() < proof.ends:
                answer = self._metadata()
            else:
                return
            peer.send(struct.pack(">ii", len(answer) + 4, correlation) + answer)

    def _metadata(self) -> bytes:
        host = b"127.0.0.1"
        broker = struct.pack(">iih", 1, 1, len(host)) + host + struct.pack(">i", self.port)
        topic = struct.pack(">ihh", 1, 0, len(TOPIC)) + TOPIC.encode()
        partition = struct.pack(">ihiiiiii", 1, 0, 0, 1, 1, 1, 1, 1)
        return broker + topic + partition


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


def _request(stream: BinaryIO) -> tuple[int, int, int, bytes] | None:
    """Read one request: its kind, its version, its number, and its body."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    raw = stream.read(*struct.unpack(">i", head))
    api, version, correlation, length = struct.unpack(">hhih", raw[:10])
    return api, version, correlation, raw[10 + max(0, length) :]


def _text(body: bytes) -> str:
    (length,) = struct.unpack(">h", body[:2])
    return body[2 : 2 + length].decode()
