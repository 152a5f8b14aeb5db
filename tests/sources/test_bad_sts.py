"""An STS that refuses, fails, hangs, floods or talks nonsense: one clear error, in time, and nothing told."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import pytest

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused
from tests.peers.rogue import Peer, Rogue, Script, close, deaf, drip, flood, hang, reply, response, say
from tests.peers.sts import KEYS, REQUEST_ID, granted, refused
from tests.sources.asking import ask, assume, failure, story
from tests.sources.conftest import SECRET_KEY, SESSION

CANARY = "canary0of0a0response"
TOKEN = "canary0of0a0web0identity"
HTML = f"<html><body><h1>{CANARY}</h1></body></html>".encode()
OPEN_HTML = f"<html><head><meta charset=utf-8><body>{CANARY}<br>".encode()
JSON = f'{{"message": "{CANARY}", "AccessKeyId": "{CANARY}"}}'.encode()
ASSUME_ROLE, WEB_IDENTITY = "AssumeRole", "AssumeRoleWithWebIdentity"
BOTH = pytest.mark.parametrize("action", [ASSUME_ROLE, WEB_IDENTITY])

Ask = Callable[..., MintError]


@pytest.fixture
def action() -> str:
    return ASSUME_ROLE


@pytest.fixture
def asking(action: str, worker: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Ask in vain."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    fields = {"web_identity_token_file": str(token_file)} if action == WEB_IDENTITY else {}
    return lambda sts, **given: failure(assume(sts.url, **fields), **given)


def told(error: MintError) -> list[str]:
    """List what should never be told and was."""
    whole = story(error)
    return [hidden for hidden in (CANARY, TOKEN, SECRET_KEY, SESSION, *KEYS.values()) if hidden in whole]


def check(error: MintError, kind: type[MintError], code: str) -> None:
    assert (type(error), error.code) == (kind, code)
    assert told(error) == []


def echo(peer: Peer) -> None:
    """Refuse, and repeat the whole request as the reason."""
    peer.send(response(refused("AccessDenied", peer.read().everything), status=403))


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        pytest.param(reply(refused("AccessDenied", CANARY), status=403), SourceRefused, "AccessDenied", id="denied"),
        pytest.param(echo, SourceRefused, "AccessDenied", id="denied with an echo"),
        pytest.param(reply(refused("ExpiredToken", CANARY), status=403), SourceRefused, "ExpiredToken", id="expired"),
        pytest.param(
            reply(refused("PackedPolicyTooLarge", CANARY), status=400),
            SourceRefused,
            "PackedPolicyTooLarge",
            id="packed",
        ),
        pytest.param(
            reply(refused("Throttling", CANARY), status=400), SourceFailed, "Throttling", id="throttled as 400"
        ),
        pytest.param(
            reply(refused("IDPCommunicationError", CANARY), status=400), SourceFailed, "IDPCommunicationError", id="idp"
        ),
        pytest.param(reply(refused("Throttling", CANARY), status=429), SourceFailed, "Throttling", id="throttled"),
        pytest.param(reply(refused("SlowDown", CANARY), status=429), SourceFailed, "SlowDown", id="429"),
        pytest.param(reply(refused("InternalFailure", CANARY), status=500), SourceFailed, "InternalFailure", id="500"),
        pytest.param(reply(refused("Unavailable", CANARY), status=503), SourceFailed, "Unavailable", id="503"),
    ],
)
@BOTH
def test_says_no_in_its_own_words(asking: Ask, script: Script, kind: type[MintError], code: str, action: str) -> None:
    """A refusal is told from a failure that may pass; STS's code and request id are kept, its message is not."""
    with Rogue(script) as sts:
        error = asking(sts)

    check(error, kind, code)
    assert error.request_id == REQUEST_ID
    assert f"sts:{action} of arn:aws:iam::111122223333:role/reader" in str(error)
    assert code in str(error)
    assert REQUEST_ID in str(error)


@pytest.mark.parametrize("action", ["TagSession", "SetSourceIdentity", "AssumeRole"])
def test_missing_permission_is_named(worker: pytest.MonkeyPatch, action: str) -> None:
    """Which of the two permissions for attribution is missing is told, with the statement to add, and nothing else."""
    role = "arn:aws:iam::111122223333:role/reader"
    message = f"User: {CANARY} is not authorized to perform: sts:{action} on resource: {CANARY}"
    with Rogue(reply(refused("AccessDenied", message), status=403)) as sts:
        error = failure(assume(sts.url, tags={"dag": "{dag_id}"}), caller=Caller(dag_id="orders"))

    check(error, SourceRefused, "AccessDenied")
    statement = f'{{"Effect": "Allow", "Action": "sts:{action}", "Resource": "{role}"}}'
    assert (statement in str(error)) is (action != "AssumeRole")
    assert (f"AccessDenied for sts:{action}" in str(error)) is (action != "AssumeRole")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(HTML, 403, "HTTP 403", id="page of a firewall"),
        pytest.param(OPEN_HTML, 403, "HTTP 403", id="page that is not XML"),
        pytest.param(JSON, 400, "HTTP 400", id="json"),
        pytest.param(b"", 403, "HTTP 403", id="empty"),
        pytest.param(HTML, 500, "HTTP 500", id="page of a server"),
        pytest.param(OPEN_HTML, 502, "HTTP 502", id="page of a gateway"),
        pytest.param(f"{CANARY}\n".encode(), 503, "HTTP 503", id="text of a balancer"),
        pytest.param(b"", 500, "HTTP 500", id="nothing"),
        pytest.param(refused(f"{CANARY}\x7f {CANARY}", CANARY), 403, "HTTP 403", id="code that is none"),
        pytest.param(refused("x" * 1_000, CANARY), 403, "HTTP 403", id="code without end"),
        pytest.param(refused("", CANARY), 403, "HTTP 403", id="no code"),
    ],
)
def test_says_no_in_foreign_words(asking: Ask, body: bytes, status: int, code: str) -> None:
    """What stands between us and AWS is not AWS: its status is told, nothing of its page, and it may pass."""
    with Rogue(reply(body, status=status)) as sts:
        error = asking(sts)

    check(error, SourceFailed, code)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(HTML, id="page"),
        pytest.param(OPEN_HTML, id="page that is not XML"),
        pytest.param(JSON, id="json"),
        pytest.param(b"", id="empty"),
        pytest.param(CANARY.encode("utf-16"), id="utf-16"),
        pytest.param(f"<AssumeRoleResponse><{CANARY}/></AssumeRoleResponse>".encode(), id="other element"),
        pytest.param(f"<!DOCTYPE a [<!ENTITY c '{CANARY}'>]><a>&c;</a>".encode(), id="entities"),
        pytest.param(f"<a>{CANARY}".encode() * 2_000, id="deep"),
        pytest.param(gzip.compress(granted()), id="compressed unasked"),
    ],
)
@BOTH
def test_answers_with_nonsense(asking: Ask, body: bytes) -> None:
    """A success that holds no credentials is a failure that is named so."""
    with Rogue(reply(body)) as sts:
        check(asking(sts), SourceFailed, "bad_answer")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"Expiration": None}, "bad_answer"),
        ({"Expiration": ""}, "bad_answer"),
        ({"Expiration": CANARY}, "bad_answer"),
        ({"Expiration": "NaN"}, "bad_answer"),
        ({"Expiration": "1e400"}, "bad_answer"),
        ({"Expiration": "99999999999999999999"}, "bad_answer"),
        ({"Expiration": "2001-01-01T00:00:00Z"}, "bad_lifetime"),
        ({"Expiration": "-1"}, "bad_lifetime"),
        *(({name: value}, "bad_answer") for name in KEYS for value in (None, "", f"{CANARY}&#13;&#10;X:y", "a b", "é")),
        ({"SecretAccessKey": f"<b>{CANARY}</b>"}, "bad_answer"),
        ({"SecretAccessKey": f"a</SecretAccessKey><SecretAccessKey>{CANARY}"}, "bad_answer"),
    ],
    ids=str,
)
def test_grants_what_cannot_be(asking: Ask, members: dict[str, str | None], code: str) -> None:
    """Credentials without a believable expiry, or with a part that is missing or no single word, are not used."""
    with Rogue(reply(granted(**members))) as sts:
        check(asking(sts), SourceFailed, code)


@pytest.mark.parametrize(
    "principal", ["", "not an ARN", f"arn:aws:sts::1:x/{CANARY}&#13;&#10;forged line", "x" * 5_000]
)
def test_grants_to_nobody(asking: Ask, principal: str) -> None:
    """A principal that is no ARN would be forged into logs and the audit."""
    with Rogue(reply(granted(principal=principal))) as sts:
        check(asking(sts), SourceFailed, "bad_answer")


@pytest.mark.parametrize("request_id", ["", f"{CANARY} forged", f"{CANARY}&#10;forged line", "x" * 1_000])
def test_forges_a_request_id(asking: Ask, request_id: str) -> None:
    """A request id that does not look like one is left out, of errors and of credentials."""
    real = REQUEST_ID.encode()
    with Rogue(reply(refused("AccessDenied").replace(real, request_id.encode()), status=403)) as sts:
        error = asking(sts)
    with Rogue(reply(granted().replace(real, request_id.encode()))) as sts:
        credential = ask(assume(sts.url)).credential

    check(error, SourceRefused, "AccessDenied")
    assert error.request_id is None
    assert credential.request_id is None


GRANT = response(granted())


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(deaf, id="accepts and hangs"),
        pytest.param(hang(), id="reads and hangs"),
        pytest.param(hang(b"HTTP/1.1 200 OK\r\n"), id="hangs in its header"),
        pytest.param(hang(GRANT[:-20]), id="hangs in its body"),
        pytest.param(drip(GRANT), id="one byte per second"),
        pytest.param(drip(GRANT, after=GRANT.index(b"\r\n\r\n") + 4), id="one byte per second of its body"),
        pytest.param(drip(GRANT, seconds=0.02), id="fifty bytes per second"),
        pytest.param(
            drip(GRANT, after=GRANT.index(b"\r\n\r\n") + 4, seconds=0.02), id="fifty bytes per second of its body"
        ),
        pytest.param(drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000, seconds=0.001), id="continues forever"),
    ],
)
def test_takes_too_long(asking: Ask, script: Script) -> None:
    """Whatever it does to stay busy, the deadline ends it, and the connection with it."""
    with Rogue(script) as sts:
        check(asking(sts, seconds=0.3), SourceFailed, "timeout")
        assert sts.deserted(6)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param(close, "unreachable", id="closes at once"),
        pytest.param(say(b""), "unreachable", id="reads and closes"),
        pytest.param(say(f"{CANARY}\r\n\r\n".encode()), "unreachable", id="no HTTP"),
        pytest.param(say(f"HTTP/1.1 {CANARY}\r\n\r\n".encode()), "unreachable", id="no status"),
        pytest.param(
            say(f"HTTP/1.1 200 OK\r\nX: {CANARY * 5_000}\r\n\r\n".encode()), "unreachable", id="endless header"
        ),
        pytest.param(
            say(b"HTTP/1.1 200 OK\r\n" + f"X: {CANARY}\r\n".encode() * 1_000), "unreachable", id="many headers"
        ),
        pytest.param(reply(granted(), length=len(granted()) + 1), "unreachable", id="shorter than it says"),
        pytest.param(reply(granted(), length=50), "bad_answer", id="longer than it says"),
        pytest.param(
            say(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode()),
            "unreachable",
            id="bad chunks",
        ),
    ],
)
def test_breaks_off(asking: Ask, script: Script, code: str) -> None:
    """An answer that is not whole is no answer."""
    with Rogue(script) as sts:
        check(asking(sts), SourceFailed, code)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(flood(response(length=200_000_000), repeat(CANARY.encode() * 3_000, 3_400)), id="200 MB"),
        pytest.param(
            flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", repeat(b"5\r\n12345\r\n" * 5_000, 4_000)),
            id="chunks without end",
        ),
        pytest.param(reply(gzip.compress(b"\0" * 100_000_000), Content_Encoding="gzip"), id="gzip of 100 MB"),
    ],
)
def test_answers_too_much(asking: Ask, script: Script) -> None:
    """The answer is given up at 64 KiB; the server is left long before it has sent all."""
    with Rogue(script) as sts:
        check(asking(sts), SourceFailed, "too_large")

    assert sts.sent < 20_000_000


def test_small_bomb_is_not_opened(asking: Ask) -> None:
    """A compressed answer that nobody asked for stays compressed."""
    with Rogue(reply(gzip.compress(b"<a>" + b" " * 10_000_000), Content_Encoding="gzip")) as sts:
        check(asking(sts), SourceFailed, "bad_answer")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_sends_us_elsewhere(asking: Ask, status: int) -> None:
    """No redirect is followed: what proves the worker goes to STS and to nobody else."""
    with Rogue(reply()) as other, Rogue(reply(HTML, status=status, Location=f"{other.url}/{CANARY}")) as sts:
        check(asking(sts), SourceFailed, "redirect")

    assert (sts.connections, other.connections) == (1, 0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("99999", 99_999.0),
        ("100000", None),
        ("-1", None),
        ("1.5", None),
        ("nan", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("\xb2", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_asks_us_to_wait(worker: pytest.MonkeyPatch, header: str, seconds: float | None, status: int) -> None:
    """Retry-After in seconds is kept for whoever asks next; anything else is as if it were not there."""
    with Rogue(reply(refused("Throttling"), status=status, Retry_After=header)) as sts:
        error = failure(assume(sts.url))

    assert (type(error), error.code, error.retry_after) == (SourceFailed, "Throttling", seconds)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_is_asked_once(asking: Ask, worker: pytest.MonkeyPatch, mode: str) -> None:
    """A source does not retry, whatever the worker tells boto3: the lease cache does, once, under one deadline."""
    worker.setenv("AWS_RETRY_MODE", mode)
    worker.setenv("AWS_MAX_ATTEMPTS", "5")
    with Rogue(reply(refused("InternalFailure"), status=500)) as sts:
        asking(sts)

    assert sts.connections == 1


def test_is_not_there(asking: Ask) -> None:
    """Nobody listening is a failure that may pass."""
    with Rogue(reply()) as sts:
        pass

    check(asking(sts), SourceFailed, "unreachable")
