"""
A process that uses the host store, for the tests: ``python worker.py VERB ROOT [MANNER]``.

It says ``ready``, begins when it is sent a line, and says each step on a line of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from pathlib import Path
from random import Random
from typing import Any

from airflow_ephemeral_secrets.caller import Caller
from airflow_ephemeral_secrets.clock import Deadline, Instant, SystemClock
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.errors import MintError, SourceRefused, StoreError
from airflow_ephemeral_secrets.leases import flight
from airflow_ephemeral_secrets.leases.cache import LeaseCache
from airflow_ephemeral_secrets.leases.flight import GRACE
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.leases.lease import LeaseKey, issue, lease_key

KEY = lease_key({"role": "reader"})
INSTALLATION = "tests"
UNTIL = 1e12
"""A moment of the boot clock that never comes."""
LIFE = 900.0
DEADLINE = 60.0


def say(*words: object) -> None:
    print(*words, flush=True)


def heed() -> None:
    """Go on when told to; of several threads that wait each hears one line."""
    os.read(0, 1)


class TalkingClock(SystemClock):
    """
    Says so when it is first waited for.

    :param behind: how far it is behind the others' clocks
    """

    waited = False

    def __init__(self, behind: float = 0.0) -> None:
        self.behind = behind

    def now(self) -> Instant:
        return Instant(*(moment - self.behind for moment in super().now()))

    def sleep(self, seconds: float) -> None:
        if not self.waited:
            self.waited = True
            say("waiting")
        super().sleep(seconds)


def open_cache(root: str, clock: SystemClock) -> LeaseCache:
    return LeaseCache(clock, Random(), lambda: HostStore(root, INSTALLATION, clock=clock))


def ask(root: str, manner: str) -> None:
    """
    Ask for one lease; a mint leaves a line in the file ``mints``, says ``minting`` and waits to be told to end.

    Who is ``stopped`` began so long ago that its deadline is over, and sees what time it is when it goes on.
    """
    look_up(open_cache(root, TalkingClock(DEADLINE + 2 * GRACE if manner == "stopped" else 0.0)), root, manner)


def look_up(cache: LeaseCache, root: str, manner: str) -> None:
    clock = cache.clock
    assert isinstance(clock, TalkingClock)

    def mint(asked: Instant) -> BearerToken:
        with Path(root).with_name("mints").open("a") as mints:
            mints.write(f"{os.getpid()}\n")
        child = os.fork() if manner == "forks" else 0
        if manner == "forks" and not child:
            heed()
            os._exit(0)
        say("minting", child)
        heed()
        clock.behind = 0.0
        if manner == "refused":
            raise SourceRefused(
                "no", code="AccessDenied", hint="the policy", request_id=f"{os.getpid()}", retry_after=60
            )
        return BearerToken(token=f"token-{os.getpid()}", expires_at=asked.wall + LIFE)

    try:
        held = cache.acquire(KEY, mint, deadline=Deadline(clock, DEADLINE), hold=0)
    except MintError as error:
        say(json.dumps([type(error).__name__, error.message, error.code, error.hint, error.request_id]))
    else:
        assert isinstance(held.lease.credential, BearerToken)
        say(held.origin, held.lease.credential.token)


class Terminated(Exception):
    """What a task's handler of SIGTERM raises."""


def ask_again(root: str, manner: str) -> None:
    """Ask, say so when SIGTERM has ended that, and ask again when told to."""

    def terminate(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    cache = open_cache(root, TalkingClock())
    try:
        look_up(cache, root, manner)
    except Terminated:
        say("terminated")
        heed()
        look_up(cache, root, manner)


def serve(root: str, _: str) -> None:
    """Look up one lease each time it is told to, minting numbered tokens."""
    cache, numbers = open_cache(root, SystemClock()), itertools.count(1)

    def mint(asked: Instant) -> BearerToken:
        return BearerToken(token=f"{os.getpid()}-{next(numbers)}", expires_at=asked.wall + LIFE)

    while True:
        held = cache.acquire(KEY, mint, deadline=Deadline(cache.clock, DEADLINE), hold=0)
        say(held.origin, held.lease.lease_id)
        heed()


def fly_and_fork(root: str, key: str) -> None:
    """Hold the flight of a key, fork while another thread holds the locks of flights, and try for it in the child."""
    store = HostStore(root, INSTALLATION)
    with store.flight(LeaseKey(key), UNTIL) as mine:
        say("flying", mine)
        with flight._mutex:
            child = os.fork()
            if not child:
                with store.flight(LeaseKey(key), UNTIL) as its, store.flight(lease_key({}), UNTIL) as other:
                    say("child", its, other)
                store.close()
                os._exit(0)
        os.waitpid(child, 0)
        say("child ended")
        heed()
    say("landed")
    heed()


def inherit(root: str, _: str) -> None:
    """Fork, and let the child fly with a store of its own when it lets go of its parent's."""
    inherited = HostStore(root, INSTALLATION)
    before = len(os.listdir("/proc/self/fd"))
    child = os.fork()
    if not child:
        own = HostStore(root, INSTALLATION)
        with own.flight(KEY, UNTIL) as mine:
            inherited.close()
            say("flying", mine)
            heed()
        own.close()
        say(before - len(os.listdir("/proc/self/fd")))
        os._exit(0)
    os.waitpid(child, 0)


def fly(root: str, key: str) -> None:
    """Try to get the flight of a key."""
    with HostStore(root, INSTALLATION).flight(LeaseKey(key), UNTIL) as mine:
        say(mine)


def write(root: str, _: str) -> None:
    """Write lease after lease, of many lengths and each of one letter, until killed."""
    store, now = HostStore(root, INSTALLATION), SystemClock().now()
    for number in itertools.count():
        token = chr(ord("a") + number % 26) * (1 + number * 997 % 50_000)
        credential = BearerToken(token=token, principal=f"{len(token)}", expires_at=now.wall + LIFE)
        store.put(KEY, issue(credential, asked=now, hold=0, random=Random(1)))
        if not number:
            say("writing")


def starve(root: str, manner: str) -> None:
    """Become an ordinary user, make the store's directory read-only, and write."""
    if not os.geteuid():
        os.setuid(65_534)
    store, now = HostStore(root, INSTALLATION), SystemClock().now()
    os.chmod(Path(root, INSTALLATION), 0o500)
    try:
        store.put(KEY, issue(BearerToken(token="t", expires_at=now.wall + LIFE), asked=now, hold=0, random=Random(1)))
    except StoreError as error:
        say(error.code, error)


def fork(root: str, _: str) -> None:
    """Fork while another thread holds every lock that a lookup takes, and look up in the child."""
    from airflow_ephemeral_secrets import installation

    os.environ["CLIENT_SECRET"] = "a-secret"
    document = {
        "version": 1,
        "secrets": {"app": {"from": "env", "name": "CLIENT_SECRET"}},
        "sources": {"app": {"kind": "static", "token": {"secret": "app"}}},
        "connections": {"api": {"source": "app", "shape": "http", "host": "https://api.example.com"}},
        "store": {"host": root},
    }

    def found() -> installation.Installation:
        return installation.installation({"config": document}, root, lambda: None)

    def look_up() -> None:
        spec = found().resolver().connection("api", Caller(process="task"))
        assert spec
        say(spec.extra)

    look_up()
    resolver = found().resolver()
    locks: list[Any] = [
        installation._mutex,
        found()._mutex,
        resolver._mutex,
        resolver.audit._mutex,
        resolver.leases._mutex,
        resolver.leases.memory._mutex,
    ]
    held = threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        heed()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    child = os.fork()
    if not child:
        look_up()
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    say("ready")
    heed()
    globals()[sys.argv[1]](sys.argv[2], sys.argv[3])
