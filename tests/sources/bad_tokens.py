"""What a token endpoint may answer instead of a token: each by name, with the error that it must become."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple

from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from tests.peers.rogue import Peer, Request, Script, close, deaf, drip, flood, hang, reply, response, say

CANARY = "canary of a body"
MINTED = "canary-of-a-minted-token"
HIDDEN = (CANARY, MINTED)
SECONDS = 0.3
HTML = f"<!DOCTYPE html><html><body><h1>{CANARY}</h1></body></html>".encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Good(NamedTuple):
    """
    A good answer, in the dialect of a provider.

    :param token: the member that holds the token
    :param life: the member that says how long it lives, or until when
    :param elsewhere: a server that must never be asked
    """

    members: Mapping[str, Any]
    token: str = "access_token"
    life: str = "expires_in"
    elsewhere: str = ""

    def body(self, **members: Any) -> bytes:
        """Write it, with some members instead; ``token`` and ``life`` stand for those of the dialect."""
        names = {"token": self.token, "life": self.life}
        return json.dumps(
            {**self.members, **{names.get(name, name): value for name, value in members.items()}}
        ).encode()


class Bare(Good):
    """An answer whose whole body is the token."""

    def body(self, **members: Any) -> bytes:
        return str(members.get("token", self.members[self.token])).encode()


class Bad(NamedTuple):
    """
    A bad answer.

    :param script: plays it
    :param error: what it must become
    :param slow: whether it never comes to its end
    :param scoped: whether it is only bad for those who ask for scopes
    :param retry_after: seconds the error must carry
    """

    script: Callable[[Good], Script]
    error: type[MintError] = SourceFailed
    code: str = "bad_answer"
    slow: bool = False
    scoped: bool = False
    retry_after: float | None = None


@cache
def bomb(megabytes: int) -> bytes:
    """Compress a lot of nothing, once."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(b" " * 1_000_000) for _ in range(megabytes)), packer.flush()])


def says(raw: bytes, status: int = 200, **headers: str) -> Callable[[Good], Script]:
    return lambda _: reply(raw, status=status, **headers)


def with_(**members: Any) -> Callable[[Good], Script]:
    """Answer well but for some members."""
    return lambda good: reply(good.body(**members))


def but(change: Callable[[bytes], bytes], **headers: str) -> Callable[[Good], Script]:
    """Answer well but for the bytes of it."""
    return lambda good: reply(change(good.body()), **headers)


def twice(member: str) -> Callable[[Good], Script]:
    """Answer well, and say one member once more."""
    return lambda good: reply(good.body()[:-1] + f', "{getattr(good, member)}": 60}}'.encode())


def literal(value: str) -> Callable[[Good], Script]:
    """Answer with a lifetime that only some parsers of JSON understand."""
    return lambda good: reply(good.body(life=CANARY).replace(f'"{CANARY}"'.encode(), value.encode()))


def raw(change: Callable[[bytes], bytes]) -> Callable[[Good], Script]:
    """Answer well but for the bytes of the whole response."""
    return lambda good: say(change(response(good.body())))


def redirect(status: int) -> Callable[[Good], Script]:
    return lambda good: reply(good.body(), status=status, Location=f"{good.elsewhere}/token")


def jwt(**claims: Any) -> str:
    """Write a JWT that nobody signed."""
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "x"}, claims)
    )
    return ".".join((*parts, MINTED))


def no(code: object, status: int = 400, **headers: str) -> Callable[[Good], Script]:
    """Refuse by RFC 6749."""
    return says(json.dumps({"error": code, "error_description": CANARY}).encode(), status, **headers)


def echo(_: Good) -> Script:
    """Refuse, and repeat the whole request wherever an answer has room."""

    def script(peer: Peer) -> None:
        request = peer.read()
        whole = request.everything
        said = {
            "error": whole,
            "error_description": whole,
            "errorCode": whole,
            "fault": {"detail": {"errorcode": whole}},
        }
        peer.send(response(json.dumps(said).encode(), status=400))

    return script


def echo_piece(index: int) -> Callable[[Good], Script]:
    """Refuse, with one secret of the request as the code and as the request's id."""

    def script(peer: Peer) -> None:
        piece = secrets_of(peer.read())[index]
        said = {"error": piece, "error_description": f"{piece} {CANARY}", "errorCode": piece, "code": piece}
        peer.send(response(json.dumps(said).encode(), status=400, X_Request_Id=piece, X_Ms_Request_Id=piece))

    return lambda _: script


def secrets_of(request: Request) -> list[str]:
    """List what in a request proves who asks: whole, and what is inside of it."""
    values = [request.headers.get(name, "") for name in ("Authorization", "X-Identity-Header")]
    names = ("client_secret", "client_assertion", "assertion", "subject_token", "refresh_token")
    values += [request.form.get(name, "") for name in names] if request.method == "POST" else []
    words = [word for value in values for word in value.split()]
    words += [base64.b64decode(value[6:]).decode().partition(":")[2] for value in values if value.startswith("Basic ")]
    words += [word.rpartition(".")[2] for word in words if word.count(".") == 2]
    return [word for word in dict.fromkeys(words) if len(word) > 8]


BAD: dict[str, Bad] = {
    # no JSON object
    "text": Bad(says(CANARY.encode())),
    "page": Bad(says(HTML, Content_Type="text/html")),
    "nothing": Bad(says(b"")),
    "no content": Bad(says(b"", 204)),
    "array": Bad(but(lambda body: b"[" + body + b"]")),
    "null": Bad(says(b"null")),
    "string": Bad(says(json.dumps(MINTED).encode())),
    "number": Bad(says(b"3600")),
    "form": Bad(says(f"access_token={MINTED}&token_type=Bearer&expires_in=3600".encode())),
    "single quotes": Bad(but(lambda body: body.replace(b'"', b"'"))),
    "two objects": Bad(but(lambda body: body + body)),
    "half an object": Bad(but(lambda body: body[:-1])),
    "deep object": Bad(says(b'{"a":' * 5_000 + b"1" + b"}" * 5_000)),
    "deep member": Bad(but(lambda body: body[:-1] + b', "a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")),
    "utf-16": Bad(but(lambda body: body.decode().encode("utf-16"))),
    "latin-1": Bad(but(lambda body: body[:-1] + ', "a": "é"}'.encode("latin-1"))),
    "gzip": Bad(but(gzip.compress, Content_Encoding="gzip")),
    "gzip unsaid": Bad(but(gzip.compress)),
    "bomb": Bad(lambda _: reply(bomb(20), Content_Encoding="gzip")),
    # a token that is none
    "token twice": Bad(twice("token")),
    "token missing": Bad(lambda good: reply(good.body(token=None).replace(good.token.encode(), b"other"))),
    "token null": Bad(with_(token=None)),
    "token number": Bad(with_(token=7)),
    "token true": Bad(with_(token=True)),
    "token empty": Bad(with_(token="")),
    "token list": Bad(with_(token=[MINTED])),
    "token object": Bad(with_(token={"value": MINTED})),
    "token with line feed": Bad(with_(token=f"{MINTED}\nX-Forged: 1")),
    "token ending in line feed": Bad(with_(token=f"{MINTED}\n")),
    "token with carriage return": Bad(with_(token=f"{MINTED}\rX")),
    "token with zero": Bad(with_(token=f"{MINTED}\0")),
    "token with space": Bad(with_(token=f"{MINTED} {MINTED}")),
    "token not ASCII": Bad(with_(token=f"{MINTED}é")),
    "token of half a character": Bad(with_(token=f"{MINTED}\ud800")),
    "token of 60 kB": Bad(with_(token=MINTED * 2_500)),
    "token of 1 MB": Bad(with_(token=MINTED * 40_000), code="too_large"),
    "mac": Bad(with_(token_type="mac"), SourceRefused, "token_type"),
    "dpop": Bad(with_(token_type="DPoP"), SourceRefused, "token_type"),
    # a life that is none
    "life twice": Bad(twice("life")),
    "life zero": Bad(with_(life=0), code="bad_lifetime"),
    "life negative": Bad(with_(life=-1), code="bad_lifetime"),
    "life negative text": Bad(with_(life="-1"), code="bad_lifetime"),
    "life a word": Bad(with_(life="soon"), code="bad_lifetime"),
    "life true": Bad(with_(life=True), code="bad_lifetime"),
    "life object": Bad(with_(life={"seconds": 60}), code="bad_lifetime"),
    "life list": Bad(with_(life=[60]), code="bad_lifetime"),
    "life of eight days": Bad(with_(life=8 * 24 * 3600), code="bad_lifetime"),
    "life of twenty digits": Bad(with_(life="9" * 20), code="bad_lifetime"),
    "life NaN": Bad(literal("NaN")),
    "life Infinity": Bad(literal("Infinity")),
    "life 1e400": Bad(literal("1e400"), code="bad_lifetime"),
    "life of 5,000 digits": Bad(literal("9" * 5_000)),
    "claims to have ended": Bad(with_(token=jwt(exp=1)), code="bad_lifetime"),
    "claims to end before it is asked": Bad(with_(token=jwt(exp=-1)), code="bad_lifetime"),
    "scope narrowed": Bad(with_(scope="other"), SourceRefused, "scope_narrowed", scoped=True),
    "scope empty": Bad(with_(scope=""), SourceRefused, "scope_narrowed", scoped=True),
    # too much, too little
    "padded to 65 KiB": Bad(but(lambda body: body + b" " * 65 * 1024), code="too_large"),
    "200 MB": Bad(
        lambda _: flood(response(length=200_000_000), repeat(CANARY.encode() * 3_000, 4_000)), code="too_large"
    ),
    "chunks without end": Bad(lambda _: flood(CHUNKED, repeat(b"5\r\n     \r\n" * 5_000, 4_000)), code="too_large"),
    "big bomb": Bad(lambda _: reply(bomb(100), Content_Encoding="gzip"), code="too_large"),
    "longer than it says": Bad(lambda good: reply(good.body(), length=len(good.body()) - 5)),
    "shorter than it says": Bad(lambda good: reply(good.body(), length=len(good.body()) + 5), code="unreachable"),
    "breaks off": Bad(raw(lambda whole: whole[:-5]), code="unreachable"),
    "breaks off in its headers": Bad(raw(lambda whole: whole[:30])),
    "closes": Bad(lambda _: close, code="unreachable"),
    "no HTTP": Bad(lambda _: say(f"{CANARY}\r\n\r\n".encode()), code="unreachable"),
    "no header": Bad(lambda _: say(f"HTTP/1.1 200 OK\r\n{CANARY}\r\nX: y\r\n\r\n".encode() + HTML)),
    "bad chunks": Bad(lambda _: say(CHUNKED + f"{CANARY}\r\n".encode()), code="unreachable"),
    "many headers": Bad(
        lambda _: say(b"HTTP/1.1 200 OK\r\n" + f"X: {CANARY}\r\n".encode() * 1_000), code="unreachable"
    ),
    # too slow
    "deaf": Bad(lambda _: deaf, code="timeout", slow=True),
    "hangs": Bad(lambda _: hang(), code="timeout", slow=True),
    "hangs in its headers": Bad(lambda _: hang(b"HTTP/1.1 200 OK\r\n"), code="timeout", slow=True),
    "hangs in its body": Bad(lambda good: hang(response(good.body())[:-9]), code="timeout", slow=True),
    "drips its headers": Bad(
        lambda _: drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000, seconds=0.05), code="timeout", slow=True
    ),
    "drips its body": Bad(
        lambda good: drip(response(good.body()), after=len(response(good.body())) - 40, seconds=0.05),
        code="timeout",
        slow=True,
    ),
    "continues": Bad(
        lambda _: drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000, seconds=0.001), code="timeout", slow=True
    ),
    # elsewhere
    **{f"redirect {status}": Bad(redirect(status), code="redirect") for status in (301, 302, 303, 307, 308)},
    # no
    "no in a yes": Bad(no("invalid_client", 200), SourceRefused, "invalid_client"),
    "400": Bad(no("invalid_grant"), SourceRefused, "invalid_grant"),
    "400 with a token": Bad(lambda good: reply(good.body(), status=400), SourceRefused, "HTTP 400"),
    "400 with an echo": Bad(echo, SourceRefused, "HTTP 400"),
    "400 with a sentence": Bad(no(CANARY), SourceRefused, "HTTP 400"),
    "400 with a page": Bad(says(HTML, 400), code="HTTP 400"),
    "401": Bad(no("invalid_client", 401), SourceRefused, "invalid_client"),
    "401 with a page": Bad(says(HTML, 401), SourceRefused, "HTTP 401"),
    "403 of a firewall": Bad(says(HTML, 403), code="HTTP 403"),
    "404 with a page": Bad(says(HTML, 404), code="HTTP 404"),
    "429": Bad(no("slow_down", 429), code="slow_down"),
    "429 for 7 s": Bad(says(HTML, 429, Retry_After="7"), code="HTTP 429", retry_after=7.0),
    "429 until a moment": Bad(
        says(b"", 429, Retry_After="Wed, 21 Oct 2099 07:28:09 GMT", Date="Wed, 21 Oct 2099 07:28:00 GMT"),
        code="HTTP 429",
        retry_after=9.0,
    ),
    "429 forever": Bad(says(b"", 429, Retry_After="9" * 40), code="HTTP 429"),
    "429 until the last day": Bad(
        says(b"", 429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT", Date="Wed, 21 Oct 2026 07:28:00 GMT"),
        code="HTTP 429",
    ),
    "500": Bad(says(b"", 500), code="HTTP 500"),
    "500 with a code": Bad(no("server_error", 500), code="server_error"),
    "502 with a page": Bad(says(HTML, 502), code="HTTP 502"),
    "503 with a text": Bad(says(CANARY.encode(), 503, Retry_After="3"), code="HTTP 503", retry_after=3.0),
}
"""By name."""

FEW = (
    "page",
    "gzip",
    "token twice",
    "token with line feed",
    "life zero",
    "200 MB",
    "breaks off",
    "redirect 307",
    "400",
)
FEW += ("hangs in its body", "drips its headers", "400 with an echo", "401 with a page", "503 with a text")
"""Enough for a source that differs from another only in how it proves itself."""
