"""Token endpoints that drip, flood, or are asked by many at once: our sources, against the SDKs of their clouds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from queue import SimpleQueue
from typing import NamedTuple

from benchmarks.figure import Figure
from benchmarks.token_clients import DEADLINE, OURS, THEIRS
from tests.peers.rogue import Peer, Rogue, Script, drip, flood, hang, reply, response
from tests.peers.sts import granted

CLOUDS = ("AWS_", "AZURE_", "IDENTITY_", "MSI_", "GOOGLE_", "GCE_")
WARM = 4
THREADS = 16
WAITS = 20.0
FLOOD = 100
LATE, GROWS = 0.5, 16.0
SLOW: tuple[Script, ...] = (drip(response(b" " * 10_000), after=80), drip(response(b" "), seconds=0.1), hang())
BEARER = json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": "3600"}).encode()


class Told(NamedTuple):
    """What became of asking: in a word, after how many seconds, and how many MB the process grew by."""

    word: str
    seconds: float
    megabytes: float


class Client:
    """A process that asks for tokens; it is killed when the block ends."""

    def __enter__(self) -> Client:
        self._folder = tempfile.TemporaryDirectory(prefix="airflow-ephemeral-bench-")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(CLOUDS)},
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "AKIAWORKERWORKER",
            "AWS_SECRET_ACCESS_KEY": "worker",
            "NO_PROXY": "*",
            "TMPDIR": self._folder.name,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.token_clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._told: SimpleQueue[Told] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def ask(self, name: str, url: str, threads: int = 1) -> None:
        assert self._process.stdin
        print(json.dumps([name, url, threads]), file=self._process.stdin, flush=True)

    def told(self) -> Told:
        """Wait for what became of it."""
        return self._told.get(timeout=60)

    @property
    def waits(self) -> bool:
        """Whether nothing has become of it yet."""
        return self._told.empty()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._told.put(Told(*json.loads(line)))


Clients = dict[str, Client]


def figures() -> Iterator[Figure]:
    with ExitStack() as stack:
        mine = {f"our {name}": stack.enter_context(Client()) for name in OURS}
        theirs = {name: stack.enter_context(Client()) for name in THEIRS}
        everyone = {**mine, **theirs}
        for name, client in everyone.items():
            for _ in range(WARM):
                _asked(name, client, _good(name))
        crowds = {name: _crowd(name, client) for name, client in everyone.items() if name != "botocore"}
        grown = {name: _flooded(name, client) for name, client in everyone.items()}
        waiting, late = _slow(stack, mine, theirs)
    alone = ", ".join(f"{name} {crowds[name]}" for name in theirs if name in crowds)
    yield Figure(
        f"{THREADS} threads on one cold token of each kind: token requests ({alone})",
        f"{max(crowds[name] for name in mine)}",
        "1",
        all(crowds[name] == 1 for name in mine),
    )
    yield Figure(
        f"a token endpoint sends {FLOOD} MB: growth of the process ({_list(grown, theirs, '.0f', 'MB')})",
        f"{max(grown[name] for name in mine):.1f} MB",
        f"under {GROWS:.0f} MB",
        all(grown[name] < GROWS for name in mine),
    )
    yield Figure(
        f"it drips its head or its body, or says nothing: time over the deadline of {DEADLINE:.0f} s "
        f"(still waiting after {WAITS:.0f} s: {', '.join(waiting) or 'none'})",
        f"{max(late.values()):.2f} s at most",
        f"under {LATE} s",
        all(seconds < LATE for seconds in late.values()),
    )


def _slow(stack: ExitStack, mine: Clients, theirs: Clients) -> tuple[list[str], dict[str, float]]:
    """Say which of the SDKs still wait, and by how much each of ours was late."""
    dripping = stack.enter_context(Rogue(SLOW[0]))
    start = time.monotonic()
    for name, client in theirs.items():
        client.ask(name, dripping.url)
    late = dict.fromkeys(mine, 0.0)
    for script in SLOW:
        with Rogue(script) as server:
            for name, client in mine.items():
                client.ask(name, server.url)
            for name, client in mine.items():
                told = client.told()
                assert told.word == "timeout", f"{name}: {told.word}"
                late[name] = max(late[name], told.seconds - DEADLINE)
    time.sleep(max(0.0, start + WAITS - time.monotonic()))
    return [name for name, client in theirs.items() if client.waits], late


def _crowd(name: str, client: Client) -> int:
    """Count the requests of many threads that want the same token."""

    def slowly(peer: Peer) -> None:
        time.sleep(0.1)
        _good(name)(peer)

    with Rogue(slowly) as server:
        client.ask(name, server.url, THREADS)
        assert client.told().word == "granted", name
        return server.connections


def _flooded(name: str, client: Client) -> float:
    """Say by how much a process grows when it is sent more than anyone wants."""
    return _asked(name, client, flood(response(length=FLOOD * 1_000_000), repeat(b" " * 100_000, FLOOD * 10))).megabytes


def _asked(name: str, client: Client, script: Script) -> Told:
    with Rogue(script) as server:
        client.ask(name, server.url)
        return client.told()


def _good(name: str) -> Script:
    return reply(granted() if name in ("our aws", "botocore") else BEARER)


def _list(values: dict[str, float], names: Clients, form: str, unit: str) -> str:
    return ", ".join(f"{name} {values[name]:{form}} {unit}" for name in names)
