"""Whatever happens to the processes, clocks, files and sources of a host: the promises that hold after every step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from random import Random
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_ephemeral_secrets.clock import Deadline, Instant
from airflow_ephemeral_secrets.credential import Credential
from airflow_ephemeral_secrets.errors import MintError, SourceFailed, SourceRefused, SourceUnavailable
from airflow_ephemeral_secrets.leases.cache import POLL, Held, LeaseCache
from airflow_ephemeral_secrets.leases.failure import REMEMBERED
from airflow_ephemeral_secrets.leases.host import OURS, HostStore
from airflow_ephemeral_secrets.leases.lease import Lease, LeaseKey
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.made import KEY, OTHER, SECRET, START, token, told, value
from tests.leases.worker import INSTALLATION

SECONDS = 10.0
TROUBLE: dict[str, Exception] = {
    "refused": SourceRefused("no", code="AccessDenied"),
    "unavailable": SourceUnavailable("no identity", code="no_identity"),
    "down": SourceFailed("503", code="503"),
    "busy": SourceFailed("429", code="429", retry_after=30.0),
    "never again": SourceRefused("no", retry_after=1e9),
    "timeout": SourceFailed("slow", code="timeout"),
    "a bug": ValueError(SECRET),
    "an exit": SystemExit(SECRET),
}
SPOIL: dict[str, Callable[[Path, bytes], object]] = {
    "removed": lambda path, _: path.unlink(),
    "empty": lambda path, _: path.write_bytes(b""),
    "cut": lambda path, _: path.write_bytes(path.read_bytes()[:-20]),
    "another's": lambda path, others: path.write_bytes(others),
    "garbage": lambda path, _: path.write_bytes(b"\xff" * 100),
    "open to others": lambda path, _: path.chmod(0o644),
}
PROCESSES = st.integers(0, 2)
KEYS = st.sampled_from([KEY, OTHER])


class Minted(NamedTuple):
    """What the source knows of a token it gave out."""

    key: LeaseKey
    asked: Instant
    life: float


class Host(RuleBasedStateMachine):
    """Three processes of a host, two keys, and a source that may be in trouble, slow, or both."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self.root = root
        self.open = ExitStack()
        self.clock = FakeClock(wall=START)
        self.processes = [self.start() for _ in range(3)]
        self.trouble: Exception | None = None
        self.life, self.takes = 900.0, 0.0
        self.minted: dict[str, Minted] = {}
        self.contacts: list[Instant] = []
        self.newest: dict[LeaseKey, Lease] = {}
        self.failed: dict[LeaseKey, float] = {}
        self.excused: set[LeaseKey] = set()
        self.gone: set[str] = set()
        self.told: list[str] = []

    def teardown(self) -> None:
        self.open.close()

    def start(self, store: HostStore | None = None) -> LeaseCache:
        store = store or self.open.enter_context(closing(HostStore(self.root, INSTALLATION, clock=self.clock)))
        return LeaseCache(self.clock, Random(len(self.root)), lambda: store)

    def store(self, process: int) -> HostStore:
        store = self.processes[process].host
        assert isinstance(store, HostStore), "nothing that happens here makes the host store unusable"
        return store

    def excuse(self, *keys: LeaseKey) -> None:
        """Allow these keys a mint before its time, and forget their failures."""
        self.excused.update(keys)
        for key in keys:
            self.failed.pop(key, None)

    # what a process does ---------------------------------------------------------------------------------------------

    @initialize()
    def leases_are_held(self) -> None:
        for key in (KEY, OTHER):
            self.get(0, key, flying=False)

    @rule(process=PROCESSES, key=KEYS, flying=st.booleans())
    def get(self, process: int, key: LeaseKey, flying: bool) -> None:
        """Look up, perhaps while another process flies for the key."""
        self.contacts.clear()
        started, before = self.clock.boot, self.newest.get(key)
        early = before if key not in self.excused else None
        failed = self.failed.get(key, -REMEMBERED[0])
        with self.store(0).flight(key, started + SECONDS) if flying else nullcontext():
            answer = self.look_up(process, key)
        took = self.clock.boot - started - self.takes * len(self.contacts)

        assert took <= SECONDS + POLL[1], "every call ends at its deadline"
        assert not (flying and self.contacts), "nobody mints while another flies"
        assert len(self.contacts) <= 2, "a lookup asks once, and once more"
        for asked in self.contacts[:1]:
            assert not early or early.freshness(asked) != "fresh", "nobody mints before it is due"
            assert asked.boot >= failed + REMEMBERED[0], "a failure is remembered"
        if isinstance(answer, Held):
            self.check_lease(key, answer)
            assert answer.lease.lease_id not in self.gone, "nothing is served that was taken back"
        else:
            assert not early or early.freshness(self.clock.now()) == "expired", "what lives is served"
        if self.contacts and not (isinstance(answer, Held) and answer.origin == "minted"):
            self.failed[key] = self.clock.boot

    def look_up(self, process: int, key: LeaseKey) -> Held | MintError:
        cache = self.processes[process]

        def mint(asked: Instant) -> Credential:
            self.contacts.append(asked)
            self.clock.advance(self.takes)
            if self.trouble:
                raise self.trouble
            secret = f"{SECRET}-{len(self.minted)}"
            self.minted[secret] = Minted(key, asked, self.life)
            return token(secret, asked.wall + self.life)

        try:
            held = cache.acquire(key, mint, deadline=Deadline(self.clock, SECONDS), hold=0)
        except (SourceFailed, SourceRefused, SourceUnavailable) as error:
            self.told += [told(error), repr(error), repr(error.__cause__), repr(error.__context__)]
            return error
        self.told.append(repr(held))
        if held.origin == "minted":
            self.newest[key] = held.lease
            self.excused.discard(key)
            self.failed.pop(key, None)
        return held

    def check_lease(self, key: LeaseKey, held: Held) -> None:
        now, minted = self.clock.now(), self.minted[value(held)]
        assert minted.key == key, "nobody is served another key's credential"
        assert now.wall < minted.asked.wall + minted.life, "nothing is served that has expired by the wall clock"
        assert now.boot < minted.asked.boot + minted.life, "nothing is served that has expired by the boot clock"

    @rule(process=PROCESSES, key=KEYS)
    def invalidate(self, process: int, key: LeaseKey) -> None:
        """Take back the newest lease of a key, which the source gave out or a process was served."""
        if lease := self.newest.pop(key, None):
            self.processes[process].invalidate(lease.lease_id)
            if key not in self.excused:
                self.gone.add(lease.lease_id)
            self.excused.add(key)

    @rule(process=PROCESSES)
    def flush(self, process: int) -> None:
        """Take back everything."""
        self.processes[process].clear()
        self.gone.update(lease.lease_id for lease in self.newest.values())
        self.newest.clear()
        self.excuse(KEY, OTHER)

    @rule(process=PROCESSES)
    def restart(self, process: int) -> None:
        """End a process, and start another one."""
        self.processes[process] = self.start()

    @rule(process=PROCESSES)
    def fork(self, process: int) -> None:
        """Let a child take the place of a process: its memory is empty, its descriptors are its parent's."""
        self.processes[process] = self.start(self.store(process))

    # what happens to them --------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 60.0, 280.0, 7_200.0]))
    def time_passes(self, seconds: float) -> None:
        """Run, or be suspended."""
        self.clock.advance(seconds)

    @rule(key=KEYS, row=st.sampled_from(["life", "mandatory", "advisory"]), past=st.sampled_from([0.0, 5.0, -1.0]))
    def lease_ages(self, key: LeaseKey, row: str, past: float) -> None:
        """Run until the newest lease has reached a row of the ladder, or is just before or past that."""
        if lease := self.newest.get(key):
            age = self.clock.boot - lease.issued_boot
            self.clock.advance(max(0.0, getattr(lease, row) + past - age))

    @rule(seconds=st.sampled_from([-86_400.0, -3_600.0, -30.0, 30.0, 3_600.0, 86_400.0]))
    def wall_clock_is_set(self, seconds: float) -> None:
        """A step of the wall clock may cost each key one mint."""
        self.clock.step(seconds)
        self.excuse(KEY, OTHER)

    @rule(trouble=st.sampled_from(sorted(TROUBLE)))
    def source_fails(self, trouble: str) -> None:
        self.trouble = TROUBLE[trouble]

    @rule()
    def source_recovers(self) -> None:
        self.trouble, self.life, self.takes = None, 900.0, 0.0

    @rule(life=st.sampled_from([180.0, 900.0, 3_600.0, 20.0, 0.0, 8 * 86_400.0]))
    def tokens_live(self, life: float) -> None:
        self.life = life

    @rule(takes=st.sampled_from([0.0, 5.0, 1e3]))
    def source_takes(self, takes: float) -> None:
        self.takes = takes

    def files(self) -> list[Path]:
        return sorted(path for path in Path(self.root, INSTALLATION).iterdir() if path.name not in OURS)

    @precondition(lambda self: self.files())
    @rule(data=st.data(), spoil=st.sampled_from([*SPOIL.values()]))
    def spoil(self, data: st.DataObject, spoil: Callable[[Path, bytes], object]) -> None:
        path = data.draw(st.sampled_from(self.files()))
        alike = (file for file in self.files() if file.suffix == path.suffix and file.name[:64] != path.name[:64])
        others = next((file.read_bytes() for file in alike), b"[]")
        spoil(path, others)
        self.excuse(LeaseKey(path.name[:64]))

    @invariant()
    def nothing_dead_or_foreign_is_at_hand(self) -> None:
        """Whatever a process could serve at this moment, without asking, is alive, whole, and of the right key."""
        for cache in self.processes:
            for key in (KEY, OTHER):
                held = cache.peek(key)
                if held and held.lease.freshness(self.clock.now()) != "expired":
                    self.check_lease(key, held)

    @invariant()
    def no_secret_where_it_does_not_belong(self) -> None:
        """No error, no failure, in memory or on the host, and nobody's repr shows a secret."""
        told = self.told + [
            path.read_bytes().decode(errors="replace") for path in self.files() if path.name.endswith(".failed")
        ]
        for cache in self.processes:
            told += [repr(cache), repr(cache.memory), repr(cache.host), repr(cache.leases())]
            told += [repr(cache.memory.failure(key)) for key in (KEY, OTHER)]
        assert SECRET not in "".join(told)
        self.told.clear()


def test_promises(ram: Path) -> None:
    """
    Nothing expired, torn, taken back or of another key is ever served, and nothing secret shown.

    What lives is served, a mint is made only when it is due, and every call ends in a credential or a typed error.
    """
    run_state_machine_as_test(
        lambda: Host(tempfile.mkdtemp(dir=ram)), settings=settings(max_examples=150, stateful_step_count=40)
    )
