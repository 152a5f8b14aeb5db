"""
The decision ladder: memory, host, mint.

======================  ============================================================================
the lease we hold is    what happens
======================  ============================================================================
fresh                   it is served
advisory                it is served, unless we are the one who refreshes it; a failure goes unseen
mandatory               everyone waits for one attempt; if that fails it is served while it lives
expired, or none        everyone waits for one attempt; if that fails everyone gets the same error
======================  ============================================================================
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from random import Random
from typing import Literal, NamedTuple, TypeVar

from airflow_ephemeral_secrets.clock import Clock, Deadline, Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import EphemeralSecretsError, MintError, SourceFailed, StoreError
from airflow_ephemeral_secrets.leases.base import Store
from airflow_ephemeral_secrets.leases.failure import Failure, record
from airflow_ephemeral_secrets.leases.host import TOO_LARGE
from airflow_ephemeral_secrets.leases.lease import Lease, LeaseKey, issue
from airflow_ephemeral_secrets.leases.memory import MemoryStore

Origin = Literal["memory", "host", "minted"]
Mint = Callable[[Instant], Credential]
"""Asks a source; is told the moment before it is asked."""

T = TypeVar("T")

POLL = (0.002, 0.1)
RETRY_PAUSE = (0.1, 0.5)

UNUSABLE = "%s; leases stay in the memory of this process"

log = logging.getLogger(__name__)


class Held(NamedTuple):
    """
    A lease and where it came from.

    :param stale: whether it is served in its last minute, because its refresh fails
    """

    lease: Lease
    origin: Origin
    stale: bool = False


class LeaseCache:
    """
    Serve leases by the ladder, minting each once.

    :param clock: where the time comes from
    :param random: draws jitter
    :param open_host: opens the host store at its first use, or returns None where there is none
    """

    def __init__(self, clock: Clock, random: Random, open_host: Callable[[], Store | None]) -> None:
        self.clock = clock
        self.random = random
        self.memory = MemoryStore(clock)
        self._open_host = open_host
        self._host: Store | None = None
        self._host_known = False
        self._epoch = 0
        self._mutex = threading.Lock()

    def acquire(self, key: LeaseKey, mint: Mint, *, deadline: Deadline, hold: float) -> Held:
        """
        Get a living lease.

        :param key: names the request
        :param mint: asks the source; called by at most one process of the host at a time
        :param deadline: bounds everything: waiting, minting, trying again
        :param hold: seconds to hold a credential that does not end by itself
        :raises MintError: when nothing living is held and the source gave nothing, to us or to whoever asked for us
        """
        pause, since = POLL[0], self.clock.now().boot
        while True:
            self._heed()
            now = self.clock.now()
            held = self._look(key, now)
            state = held.lease.freshness(now) if held else "expired"
            if held and state == "fresh":
                return held
            living = held._replace(stale=state == "mandatory") if held and state != "expired" else None
            failure = self._failure(key)
            if failure and (failure.pending(now, living=living is not None) or failure.failed_boot > since):
                if living:
                    return living
                raise failure.error()
            if not deadline.remaining():
                if living:
                    return living
                raise SourceFailed(f"no answer within {deadline.seconds:g} s", code="timeout")
            with self._flight(key, now.boot + deadline.remaining()) as mine:
                if mine and not self._overtaken(key, held, failure):
                    return self._refresh(key, mint, deadline, hold, failure)
            if living and state == "advisory":
                return living
            if not mine:
                self.clock.sleep(pause * self.random.uniform(0.5, 1.0))
                pause = min(POLL[1], pause * 2)

    def fresh(self, key: LeaseKey) -> Lease | None:
        """Give the lease at hand if it is fresh; nothing is minted."""
        self._heed()
        now = self.clock.now()
        held = self._look(key, now)
        return held.lease if held and held.lease.freshness(now) == "fresh" else None

    def invalidate(self, lease_id: str) -> bool:
        """
        Forget a lease, in all processes of this host, if it is still the one held for its key.

        For a credential that its target rejects, or that an operator wants gone.

        :return: whether it was held
        """
        held = [one for store in (self.memory, self.host) if store for one in store.leases()]
        gone = {key for key, lease in held if lease.lease_id == lease_id}
        found = [self.memory.discard(key, lease_id) for key in gone]
        try:
            found += [self.host.discard(key, lease_id) for key in gone if self.host]
        except StoreError as error:
            self._give_up_host(error)
        return any(found)

    def clear(self) -> None:
        """Forget everything, in all processes of this host."""
        for store in (self.memory, self.host):
            if store:
                store.clear()

    def leases(self) -> dict[LeaseKey, Lease]:
        """List what this process and this host hold."""
        return {key: lease for store in (self.memory, self.host) if store for key, lease in store.leases()}

    def peek(self, key: LeaseKey) -> Held | None:
        """Find the best lease at hand, however fresh; nothing is minted, nothing changes."""
        return self._best(key, self.clock.now())

    def _best(self, key: LeaseKey, now: Instant) -> Held | None:
        """Ask memory, and the host when memory has none that is fresh."""
        mine = self.memory.get(key)
        if mine and mine.freshness(now) == "fresh":
            return Held(mine, "memory")
        host = self.host
        shared = host.get(key) if host else None
        if shared and (not mine or mine.age(now) > shared.age(now)):
            return Held(shared, "host")
        return Held(mine, "memory") if mine else None

    def close(self) -> None:
        """Let go of the host store."""
        if self._host:
            self._host.close()

    @property
    def host(self) -> Store | None:
        """The host store, opened at first use; None where it is off or not safe to use, which is said once."""
        if not self._host_known:
            with self._mutex:
                if not self._host_known:
                    try:
                        self._host = self._open_host()
                    except StoreError as error:
                        log.warning(UNUSABLE, error)
                    self._host_known = True
        return self._host

    def _heed(self) -> None:
        """Drop what memory holds once something was taken back on this host."""
        host = self.host
        if host and (epoch := host.epoch()) != self._epoch:
            self.memory.clear()
            self._epoch = epoch

    def _give_up_host(self, error: StoreError) -> None:
        with self._mutex:
            host, self._host = self._host, None
        if host:
            log.warning(UNUSABLE, error)

    def _look(self, key: LeaseKey, now: Instant) -> Held | None:
        """Find the best lease at hand, and hold it in memory unless something was taken back meanwhile."""
        epoch, held, host = self._epoch, self._best(key, now), self.host
        if held and held.origin == "host" and host and host.epoch() == epoch:
            self.memory.put(key, held.lease)
        return held

    def _overtaken(self, key: LeaseKey, held: Held | None, failure: Failure | None) -> bool:
        """Say whether someone finished between our look and our flight, so that we must look again."""
        seen = self.peek(key)
        newer = seen is not None and (held is None or seen.lease.lease_id != held.lease.lease_id)
        return newer or self._failure(key) != failure

    def _failure(self, key: LeaseKey) -> Failure | None:
        host = self.host
        return (host.failure(key) if host else None) or self.memory.failure(key)

    @contextmanager
    def _flight(self, key: LeaseKey, until: float) -> Iterator[bool]:
        """Be the one who mints, in this process and then on this host."""
        with self.memory.flight(key, until) as first, ExitStack() as flights:
            mine, host = first, self.host
            if first and host:
                try:
                    mine = flights.enter_context(host.flight(key, until))
                except StoreError as error:
                    self._give_up_host(error)
            yield mine

    def _refresh(
        self,
        key: LeaseKey,
        mint: Mint,
        deadline: Deadline,
        hold: float,
        failure: Failure | None,
    ) -> Held:
        left = deadline.remaining()
        try:
            lease = self._mint(mint, deadline, hold)
        except MintError as error:
            now = self.clock.now()
            if error.code != "timeout" or left > deadline.seconds / 2:  # else it says more of us than of the source
                attempts = failure.attempts + 1 if failure else 1
                self._keep(key, record(error, now=now, attempts=attempts, random=self.random))
            self._heed()
            held = self.peek(key)
            state = held.lease.freshness(now) if held else "expired"
            if held and state != "expired":
                return held._replace(stale=state == "mandatory")
            raise
        self._keep(key, lease)
        return Held(lease, "minted")

    def _keep(self, key: LeaseKey, thing: Lease | Failure) -> None:
        """Keep a lease or a failure in memory and, unless the lease is this process's own, on the host."""
        for store in (self.memory, self.host):
            try:
                if store and isinstance(thing, Failure):
                    store.fail(key, thing)
                elif store and isinstance(thing, Lease):
                    store.put(key, thing) if thing.shared or store is self.memory else store.recovered(key)
            except StoreError as error:
                if error.code == TOO_LARGE:
                    log.warning(UNUSABLE, error)
                else:
                    self._give_up_host(error)

    def _mint(self, mint: Mint, deadline: Deadline, hold: float) -> Lease:
        """Ask the source, and once more if it failed in a way that may pass."""
        try:
            return self._ask(mint, deadline, hold)
        except SourceFailed as error:
            pause = max(error.retry_after or 0.0, self.random.uniform(*RETRY_PAUSE))
            if error.code in ("timeout", "bad_lifetime", "unexpected") or 2 * pause > deadline.remaining():
                raise
        self.clock.sleep(pause)
        return self._ask(mint, deadline, hold)

    def _ask(self, mint: Mint, deadline: Deadline, hold: float) -> Lease:
        asked = self.clock.now()
        credential = within(deadline, lambda: mint(asked))
        lease = issue(credential, asked=asked, hold=hold, random=self.random)
        if lease.freshness(self.clock.now()) == "expired":
            raise SourceFailed("the credential died on its way here", code="bad_lifetime", hint="a longer ttl")
        return lease


def within(deadline: Deadline, call: Callable[[], T]) -> T:
    """
    Run a call that may hang, and stop waiting for it at the deadline.

    It runs in a thread of its own, since neither name resolution nor an SDK's own retries can be interrupted; one that
    is left behind ends with the process.

    :raises SourceFailed: at the deadline, or when the call raised anything but an error of ours
    """
    answers: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(call())
        except BaseException as error:
            answers.put(error)

    # the context names the task, to logs and traces
    threading.Thread(target=copy_context().run, args=(run,), name="airflow-ephemeral-mint", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        answer = SourceFailed(f"no answer within {deadline.seconds:g} s", code="timeout")
    if isinstance(answer, EphemeralSecretsError):
        raise answer
    if isinstance(answer, BaseException):
        raise SourceFailed(
            f"the source raised {type(answer).__name__}", code="unexpected", hint="airflow-ephemeral doctor --mint"
        )
    return answer
