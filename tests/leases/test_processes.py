"""Real processes over one host store: racing for a lease, killed while they mint, killed while they write."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from airflow_ephemeral_secrets.clock import Instant, SystemClock
from airflow_ephemeral_secrets.credential import BearerToken
from airflow_ephemeral_secrets.leases.host import HostStore
from airflow_ephemeral_secrets.leases.lease import issue
from tests.leases.processes import Worker
from tests.leases.worker import INSTALLATION, KEY, LIFE

Start = Callable[..., Worker]
MANY = 40

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def root(ram: Path) -> Path:
    return ram / "store"


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Start processes, all of which end with the test."""
    with ExitStack() as started:

        def start(verb: str, manner: str = "") -> Worker:
            worker = Worker(verb, root, manner)
            started.callback(worker.ends)
            return worker

        yield start


@pytest.fixture
def store(root: Path) -> Iterator[HostStore]:
    with closing(HostStore(str(root), INSTALLATION)) as store:
        yield store


def mints(root: Path) -> int:
    path = root.with_name("mints")
    return len(path.read_text().splitlines()) if path.exists() else 0


def race(workers: list[Worker]) -> Worker:
    """Let all begin at once, wait until one is minting and all others are waiting, and give the one."""
    for worker in workers:
        assert worker.says() == "ready"
    for worker in workers:
        worker.hears()
    steps = [worker.says() for worker in workers]
    assert sorted(steps) == ["minting 0"] + ["waiting"] * (len(workers) - 1)
    return workers[steps.index("minting 0")]


def test_one_mint_for_many_processes(start: Start, root: Path) -> None:
    """Of 40 processes that ask for one cold lease at once, one mints, and all others are served what it got."""
    workers = [start("ask") for _ in range(MANY)]

    leader = race(workers)
    leader.hears()
    answers = [worker.says().split() for worker in workers]

    assert [token for _, token in answers] == [f"token-{leader.process.pid}"] * MANY
    assert [origin for origin, _ in answers].count("minted") == 1
    assert mints(root) == 1


def test_one_error_for_many_processes(start: Start, root: Path) -> None:
    """Of 8 processes one is refused, and all others get its error: class, message, code, hint and request id."""
    workers = [start("ask", "refused") for _ in range(8)]

    leader = race(workers)
    leader.hears()
    answers = [json.loads(worker.says()) for worker in workers]

    assert answers == [["SourceRefused", "no", "AccessDenied", "the policy", str(leader.process.pid)]] * 8
    assert mints(root) == 1


@pytest.mark.parametrize("manner", ["", "forks"])
def test_follower_takes_over(start: Start, root: Path, manner: str) -> None:
    """When the leader is killed in the middle of a mint, a follower mints, though a child of the leader lives on."""
    leader = start("ask", manner).begins()
    step, child = leader.says().split()
    assert step == "minting"
    follower = start("ask").begins()
    assert follower.says() == "waiting"

    leader.dies()

    assert follower.says() == "minting 0"
    if manner == "forks":
        assert alive(int(child)), "the child has outlived its parent"
    follower.hears()
    assert follower.says() == f"minted token-{follower.process.pid}"
    assert mints(root) == 2


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_refresh_of_another_process_holds_up_nobody(start: Start, store: HostStore) -> None:
    """While one process refreshes in the advisory window, another is served the living lease at once."""
    put(store, "old", age=LIFE - 200)
    refresher = start("ask").begins()
    assert refresher.says() == "minting 0"

    assert start("ask").begins().says() == "host old"

    refresher.hears()
    assert refresher.says() == f"minted token-{refresher.process.pid}"


def test_last_minute_waits_for_another_process(start: Start, store: HostStore) -> None:
    """In the last minute of a lease a process waits for the refresh of another, and is served the new one."""
    put(store, "old", age=LIFE - 50)
    refresher = start("ask").begins()
    assert refresher.says() == "minting 0"
    follower = start("ask").begins()
    assert follower.says() == "waiting"

    refresher.hears()

    assert follower.says() == f"host token-{refresher.process.pid}"


def put(store: HostStore, token: str, *, age: float) -> None:
    """Put a lease that was issued a while ago."""
    now = SystemClock().now()
    asked = Instant(now.wall - age, now.boot - age)
    credential = BearerToken(token=token, expires_at=asked.wall + LIFE)
    store.put(KEY, issue(credential, asked=asked, hold=0, random=Random(1)))


def test_killed_writers_leave_no_torn_file(start: Start, store: HostStore) -> None:
    """However often writers are killed, whoever reads meanwhile gets one whole lease, never a part and never none."""
    for round in range(8):
        writers = [start("write").begins() for _ in range(2)]
        for writer in writers:
            assert writer.says() == "writing"
        for _ in range(100 + 37 * round):
            assert_whole(store)
        for writer in writers:
            writer.dies()
        assert_whole(store)


def assert_whole(store: HostStore) -> None:
    lease = store.get(KEY)
    assert lease
    assert isinstance(lease.credential, BearerToken)
    token = lease.credential.token
    assert (len(token), len(set(token))) == (int(lease.credential.principal), 1)


def test_lookup_after_a_fork(start: Start) -> None:
    """A child forked while another thread held every lock of a lookup looks up as if nothing had been held."""
    worker = start("fork").begins()
    parent = worker.says()
    assert "a-secret" in parent

    assert worker.says() == parent


def test_stopped_leader_is_overtaken(start: Start, root: Path) -> None:
    """
    A leader that was stopped in the middle of a mint until after its deadline is overtaken, by one.

    When it goes on it is served what it got, and replaces nothing.
    """
    leader = start("ask", "stopped").begins()
    assert leader.says() == "minting 0"
    leader.process.send_signal(signal.SIGSTOP)

    late = start("ask").begins()
    assert late.says() == "minting 0"
    later = start("ask").begins()
    assert later.says() == "waiting"
    late.hears()
    assert late.says() == f"minted token-{late.process.pid}"
    assert later.says() == f"host token-{late.process.pid}"

    leader.process.send_signal(signal.SIGCONT)
    leader.hears()
    assert leader.says() == f"minted token-{leader.process.pid}"
    assert start("ask").begins().says() == f"host token-{late.process.pid}"
    assert mints(root) == 2


def test_terminated_in_the_middle_of_a_mint(start: Start, root: Path) -> None:
    """A leader that SIGTERM tears out of its mint lets a follower take over at once, though it lives on."""
    leader = start("ask_again").begins()
    assert leader.says() == "minting 0"
    follower = start("ask").begins()
    assert follower.says() == "waiting"

    leader.process.terminate()

    assert leader.says() == "terminated"
    assert follower.says() == "minting 0"
    follower.hears()
    assert follower.says() == f"minted token-{follower.process.pid}"
    for _ in range(2):  # the abandoned mint hears the first
        leader.hears()
    assert leader.says() == f"host token-{follower.process.pid}"
    assert mints(root) == 2


def test_terminated_and_asking_again(start: Start, root: Path) -> None:
    """A process that SIGTERM tore out of its mint has locked nothing against itself."""
    leader = start("ask_again").begins()
    assert leader.says() == "minting 0"

    leader.process.terminate()

    assert leader.says() == "terminated"
    for _ in range(3):  # one for the abandoned mint, one to ask again, one for the second mint
        leader.hears()
    assert leader.says() == "minting 0"
    assert leader.says() == f"minted token-{leader.process.pid}"


def test_terminated_in_the_middle_of_a_wait(start: Start, root: Path) -> None:
    """A follower that SIGTERM tears out of its wait leaves the leader's flight alone, and may ask again."""
    leader = start("ask").begins()
    assert leader.says() == "minting 0"
    follower = start("ask_again").begins()
    assert follower.says() == "waiting"

    follower.process.terminate()

    assert follower.says() == "terminated"
    other = start("ask").begins()
    assert other.says() == "waiting"
    leader.hears()
    follower.hears()
    answers = [worker.says() for worker in (leader, follower, other)]
    token = f"token-{leader.process.pid}"
    assert answers == [f"minted {token}", f"host {token}", f"host {token}"]
    assert mints(root) == 1
