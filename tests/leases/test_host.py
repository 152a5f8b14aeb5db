"""The store of one host: what it proves before it is used, what it believes, and what it leaves behind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from airflow_ephemeral_secrets.clock import Instant, SystemClock
from airflow_ephemeral_secrets.errors import SourceFailed, StoreError
from airflow_ephemeral_secrets.leases import directory, host
from airflow_ephemeral_secrets.leases.base import Store
from airflow_ephemeral_secrets.leases.directory import open_private, places
from airflow_ephemeral_secrets.leases.host import LARGEST_FILE, OURS, STALE_DRAFT, HostStore, open_host
from airflow_ephemeral_secrets.leases.lease import LeaseKey, lease_key
from airflow_ephemeral_secrets.testing import FakeClock
from tests.leases.conformance import StoreConformance
from tests.leases.made import KEY, OTHER, SECRET, START, failure, lease
from tests.leases.processes import Worker
from tests.leases.worker import INSTALLATION, UNTIL


@pytest.fixture
def root(ram: Path) -> Path:
    return ram / "store"


@pytest.fixture
def folder(root: Path) -> Path:
    """Where the leases lie."""
    return root / INSTALLATION


@pytest.fixture
def store(root: Path) -> Iterator[HostStore]:
    store = HostStore(str(root), INSTALLATION)
    yield store
    store.close()


class TestHostStore(StoreConformance):
    def rival(self, store: Store, key: LeaseKey) -> bool:
        assert isinstance(store, HostStore)
        worker = Worker("fly", store.root, key).begins()
        try:
            return worker.says() == "True"
        finally:
            worker.ends()


# what is proven before it is used ------------------------------------------------------------------------------------


def a_link(path: Path) -> None:
    path.with_name("elsewhere").mkdir(0o700)
    path.symlink_to("elsewhere")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_file(path: Path) -> None:
    path.touch(0o600)


def a_folder_of_mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)

    make.__name__ = f"mode_{mode:04o}"
    return make


UNSAFE = [
    pytest.param(a_link, "not a directory", id="a link"),
    pytest.param(a_dangling_link, "not a directory", id="a dangling link"),
    pytest.param(a_file, "not a directory", id="a file"),
    *[
        pytest.param(a_folder_of_mode(mode), f"is open to others (mode {mode:04o}, needs 0700)", id=f"{mode:04o}")
        for mode in (0o777, 0o1777, 0o750, 0o705, 0o701, 0o710, 0o2750)
    ],
]


@contextmanager
def refused(text: str) -> Iterator[None]:
    """Expect the store to be refused for a reason, with everything it had opened closed again."""
    opened = os.listdir("/proc/self/fd")
    with pytest.raises(StoreError) as raised:
        yield
    assert text in str(raised.value)
    assert len(os.listdir("/proc/self/fd")) <= len(opened)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("make", "text"), UNSAFE)
def test_unsafe_root(root: Path, make: Callable[[Path], None], text: str, slash: str) -> None:
    """A root that is a link, no directory, or open to others in any way is refused, and left as it is."""
    make(root)
    before = [root.lstat().st_mode, *root.parent.rglob("*")]

    with refused(text):
        HostStore(f"{root}{slash}", INSTALLATION)

    assert [root.lstat().st_mode, *root.parent.rglob("*")] == before


@pytest.mark.parametrize(("make", "text"), UNSAFE)
def test_unsafe_folder(root: Path, folder: Path, make: Callable[[Path], None], text: str) -> None:
    """The folder of an installation is proven as the root is."""
    root.mkdir(0o700)
    make(folder)

    with refused(text):
        HostStore(str(root), INSTALLATION)


def test_somebody_elses_root(root: Path) -> None:
    """A directory of another user is refused, whatever its mode: who owns it can open it at any time."""
    theirs = Path("/dev/shm")
    if not os.geteuid():
        theirs = root
        root.mkdir(0o700)
        os.chown(root, 65_534, -1)

    with refused(f"store directory {theirs} belongs to uid {theirs.stat().st_uid}, not to uid {os.geteuid()}"):
        HostStore(str(theirs), INSTALLATION)


def test_top_of_the_file_system() -> None:
    """A root of nothing but slashes is refused by its name."""
    with refused("store directory / "):
        HostStore("/", INSTALLATION)


def kind_of(path: Path) -> str:
    return subprocess.check_output(["df", "--output=fstype", str(path)], text=True).split()[-1]


def test_on_disk(tmp_path: Path) -> None:
    """A directory that is not in RAM is refused, by the name of its file system, and nothing is put there."""
    on_disk = next(
        (path for path in (tmp_path, Path.home(), Path.cwd()) if kind_of(path) not in directory.IN_RAM), None
    )
    if on_disk is None:
        pytest.skip("needs a directory on a disk: python -m pytest --basetemp=DIRECTORY tests/leases/test_host.py")
    root = on_disk / "airflow-ephemeral-tests"

    try:
        with refused(f"store directory {root} is on {kind_of(on_disk)}, not in RAM"):
            HostStore(str(root), INSTALLATION)
        assert not list(root.iterdir())
    finally:
        root.rmdir()


def test_unknown_file_system() -> None:
    """A file system that the kernel does not list is not taken for RAM."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(StoreError, match="what file system"):
            directory.file_system(reader)
    finally:
        os.close(reader)
        os.close(writer)


def test_missing_parent(root: Path) -> None:
    """Only the last directory of the path is made: a missing parent is a mistake in the setting."""
    with refused("no such file or directory"):
        HostStore(str(root / "deeper"), INSTALLATION)

    assert not root.exists()


@pytest.mark.parametrize("make", [a_link, a_dangling_link, Path.mkdir], ids=["link", "dangling", "dir"])
@pytest.mark.parametrize("name", sorted(OURS))
def test_unsafe_file(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    """A file of the locks or of the epoch that is a link or a directory is refused; nothing is made where it points."""
    folder.mkdir(0o700, parents=True)
    folder.parent.chmod(0o700)
    make(folder / name)

    with refused("store directory"):
        HostStore(str(folder.parent), INSTALLATION)

    assert not (folder / "nowhere").exists()


# what is left behind -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes(root: Path, umask: int) -> None:
    """Directories are 0700 and files 0600, whatever the umask."""
    before = os.umask(umask)
    try:
        store = HostStore(str(root), INSTALLATION)
        store.put(KEY, lease())
        store.fail(OTHER, failure())
        store.close()
    finally:
        os.umask(before)

    modes = {path.name: stat.filemode(path.stat().st_mode) for path in [root, *root.rglob("*")]}
    assert modes == {
        root.name: "drwx------",
        INSTALLATION: "drwx------",
        "locks": "-rw-------",
        "epoch": "-rw-------",
        KEY: "-rw-------",
        f"{OTHER}.failed": "-rw-------",
    }


def test_secret_lies_in_one_place(ram: Path, store: HostStore, folder: Path) -> None:
    """A secret stands in the file of its lease and nowhere else, not in a name either; forgotten, it is gone."""
    store.put(KEY, lease())
    store.fail(OTHER, failure())

    def places() -> list[Path]:
        return [path for path in ram.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    assert places() == [folder / KEY]
    assert not any(SECRET in str(path) for path in ram.rglob("*"))
    store.put(KEY, lease("another"))
    assert places() == []


def test_installations_are_apart(root: Path, store: HostStore) -> None:
    """Two Airflow installations of one user see neither each other's leases, nor failures, nor flights."""
    store.put(KEY, lease())
    store.fail(OTHER, failure())

    other = HostStore(str(root), "another")

    assert (other.get(KEY), other.failure(OTHER)) == (None, None)
    other.put(KEY, lease("another"))
    assert store.get(KEY) == lease()
    other.close()


def test_processes_share(root: Path, store: HostStore) -> None:
    """What one process puts another gets, through a store it opened on its own."""
    other = HostStore(str(root), INSTALLATION)
    store.put(KEY, lease())
    store.fail(OTHER, failure())

    assert (other.get(KEY), other.failure(OTHER)) == (lease(), failure())
    other.close()


FORGET: dict[str, Callable[[HostStore], object]] = {
    "discard": lambda store: store.discard(KEY, lease().lease_id),
    "clear": HostStore.clear,
}


@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
def test_epoch(root: Path, store: HostStore, forget: Callable[[HostStore], object]) -> None:
    """Each time something was taken back the epoch is a new one, for every process that shares the store."""
    other = HostStore(str(root), INSTALLATION)
    epochs = [other.epoch()]
    for _ in range(3):
        store.put(KEY, lease())
        forget(store)
        epochs.append(other.epoch())

    assert len(set(epochs)) == 4
    assert (other.get(KEY), store.epoch()) == (None, epochs[-1])
    other.close()


def test_forgotten_secret_is_gone(ram: Path, store: HostStore) -> None:
    """What was discarded or cleared lies nowhere any more, not in a draft of a killed writer either."""
    store.put(KEY, lease())
    store.discard(KEY, lease().lease_id)
    assert not any(SECRET.encode() in path.read_bytes() for path in ram.rglob("*") if path.is_file())
    store.put(KEY, lease())
    written_draft(ram / "store" / INSTALLATION)

    store.clear()

    assert not any(SECRET.encode() in path.read_bytes() for path in ram.rglob("*") if path.is_file())


# what is put late ----------------------------------------------------------------------------------------------------


def later(seconds: float) -> Instant:
    return Instant(START + seconds, 1_000 + seconds)


def test_overtaken_leader_replaces_nothing(store: HostStore) -> None:
    """Of two leases the one that was asked for later is held, in whichever order they are put; the failure is over."""
    store.put(KEY, lease("new", asked=later(5)))
    store.fail(KEY, failure())

    store.put(KEY, lease("old"))

    assert (store.get(KEY), store.failure(KEY)) == (lease("new", asked=later(5)), None)


@pytest.mark.parametrize("asked", [later(0), later(60)], ids=["at once", "later"])
def test_newer_lease_replaces(store: HostStore, asked: Instant) -> None:
    """A lease asked for at the same moment, or later, takes the place of the one that is held."""
    store.put(KEY, lease("old"))
    store.put(KEY, lease("new", asked=asked))

    assert store.get(KEY) == lease("new", asked=asked)


def test_lease_of_another_boot_is_replaced(root: Path) -> None:
    """A lease that seems to be issued after this moment, so that it is never served, does not keep the next one out."""
    clock = FakeClock(wall=START)
    with closing(HostStore(str(root), INSTALLATION, clock=clock)) as store:
        store.put(KEY, lease("future", asked=later(3_600)))

        store.put(KEY, lease("new"))

        assert store.get(KEY) == lease("new")


# what is believed ----------------------------------------------------------------------------------------------------


def rewritten(change: Callable[[str], str]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        before = path.read_text()
        assert change(before) != before, "there is something to spoil"
        path.write_text(change(before), errors="surrogateescape")

    return spoil


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def linked(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


NEST = "[" * 20_000 + "]" * 20_000
SPOILT: dict[str, Callable[[Path], None]] = {
    "empty": rewritten(lambda content: ""),
    "zeros": rewritten(lambda content: "\0" * len(content)),
    "not UTF-8": rewritten(lambda content: content.replace("reader", "\udcff\udcfe")),
    "two records": rewritten(lambda content: content * 2),
    "another type": rewritten(lambda content: "[]"),
    "nested deeply": rewritten(lambda content: NEST),
    "nested deeply inside": rewritten(lambda content: content.replace('"type"', f'"x":{NEST},"type"')),
    "future version": rewritten(lambda content: content.replace('"version":1', '"version":2')),
    "no version we know": rewritten(lambda content: content.replace('"version":1', '"version":"1"')),
    "unknown field": rewritten(lambda content: content.replace('"key"', '"more":1,"key"')),
    "unknown field of the lease": rewritten(lambda content: content.replace('"life"', '"more":1,"life"')),
    "unknown credential": rewritten(lambda content: content.replace('"bearer"', '"wand"')),
    "field missing": rewritten(lambda content: content.replace(',"life":900.0', "")),
    "not a number": rewritten(lambda content: content.replace('"life":900.0', '"life":NaN')),
    "foreign key": rewritten(lambda content: content.replace(KEY, OTHER)),
    "oversized": rewritten(lambda content: content + " " * (LARGEST_FILE + 1 - len(content))),
    "FIFO": a_fifo,
    "link": linked,
    "directory": a_directory,
    "readable by the group": lambda path: path.chmod(0o640),
    "readable by others": lambda path: path.chmod(0o604),
    "writable by the group": lambda path: path.chmod(0o620),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_spoilt_file_is_absent(store: HostStore, folder: Path, spoil: Callable[[Path], None]) -> None:
    """A file that is not wholly what we write, where and as we write it, is treated as if it were not there."""
    store.put(KEY, lease())

    spoil(folder / KEY)

    assert store.get(KEY) is None


def test_fifo_that_tells_a_lease_is_absent(store: HostStore, folder: Path) -> None:
    """Only a plain file is believed: a pipe is not, even if it gives what a file would."""
    store.put(KEY, lease())
    content = (folder / KEY).read_bytes()
    a_fifo(folder / KEY)
    pipe = os.open(folder / KEY, os.O_RDWR)
    os.write(pipe, content)

    try:
        assert store.get(KEY) is None
    finally:
        os.close(pipe)


@pytest.mark.parametrize("name", ["foreign key", "future version", "link", "readable by the group"])
def test_spoilt_failure_is_absent(store: HostStore, folder: Path, name: str) -> None:
    """A remembered failure is believed no more easily than a lease."""
    store.fail(KEY, failure())

    SPOILT[name](folder / f"{KEY}.failed")

    assert store.failure(KEY) is None


@pytest.mark.parametrize("name", [name for name in SPOILT if name != "directory"])
def test_spoilt_file_is_replaced(store: HostStore, folder: Path, name: str) -> None:
    """Whatever stands in the place of a lease, the next lease takes that place, and writes through no link or FIFO."""
    store.put(KEY, lease())
    SPOILT[name](folder / KEY)

    store.put(KEY, lease("new"))

    assert store.get(KEY) == lease("new")
    assert stat.filemode((folder / KEY).lstat().st_mode) == "-rw-------"


def test_every_truncated_file_is_absent(store: HostStore, folder: Path) -> None:
    """Wherever a file is cut off, what is left of it is not believed."""
    store.put(KEY, lease())
    content = (folder / KEY).read_bytes()

    for length in range(len(content)):
        (folder / KEY).write_bytes(content[:length])
        assert store.get(KEY) is None, content[:length]


def test_no_content_raises(store: HostStore, folder: Path) -> None:
    """Whichever bytes are changed, reading gives a lease or nothing, and never raises."""
    store.put(KEY, lease())
    content, random = (folder / KEY).read_bytes(), Random(1)

    for _ in range(1_000):
        spoilt = bytearray(content)
        for _ in range(random.randint(1, 3)):
            spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        (folder / KEY).write_bytes(spoilt)
        store.get(KEY)


def test_somebody_elses_file_is_absent(store: HostStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is not believed."""
    store.put(KEY, lease())

    monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    assert store.get(KEY) is None


# room ----------------------------------------------------------------------------------------------------------------

KEYS = [lease_key({"number": number}) for number in range(5)]


@pytest.fixture
def small(root: Path) -> Iterator[HostStore]:
    store = HostStore(str(root), INSTALLATION, capacity=3)
    yield store
    store.close()


def held(store: HostStore) -> list[int]:
    return [number for number, key in enumerate(KEYS) if store.get(key)]


def test_capacity(small: HostStore) -> None:
    """A full store drops what ends first, whichever came first."""
    for number, life in enumerate([900, 3_600, 60, 1_800]):
        small.put(KEYS[number], lease(life=life))
    assert held(small) == [0, 1, 3]

    small.put(KEYS[4], lease(life=60))
    assert held(small) == [1, 3, 4]


def test_failures_take_room_too(small: HostStore, folder: Path) -> None:
    """The bound is one on files: failures cannot fill the RAM either."""
    for key in KEYS:
        small.fail(key, failure())
        small.put(lease_key({"lease of": key}), lease())

    assert len([path for path in folder.iterdir() if path.name not in OURS]) == 3


class Wall:
    """The wall clock that the host store sweeps by."""

    now = START


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    wall = Wall()
    monkeypatch.setattr(SystemClock, "now", lambda _: Instant(wall.now, 0.0))
    return wall


def touch(store: HostStore) -> None:
    store.put(OTHER, lease("another"))


def fail(store: HostStore) -> None:
    store.fail(OTHER, failure())


@pytest.mark.parametrize("write", [touch, fail])
def test_ended_leases_are_swept(store: HostStore, folder: Path, wall: Wall, write: Callable[[HostStore], None]) -> None:
    """Whatever is written, what has ended is removed: a dead token does not stay in RAM, a living one does."""
    store.put(KEY, lease(life=900))

    wall.now += 899
    write(store)
    assert (folder / KEY).exists()
    wall.now += 2
    write(store)
    assert not (folder / KEY).exists()


def test_failures_are_swept(store: HostStore, folder: Path, wall: Wall) -> None:
    """A failure is kept for a minute longer than it holds anybody up: the next one counts on from it."""
    store.fail(KEY, failure(SourceFailed("busy", retry_after=300)))

    wall.now += 359
    touch(store)
    assert store.failure(KEY)
    wall.now += 2
    touch(store)
    assert not store.failure(KEY)


def test_drafts_of_killed_writers_are_swept(store: HostStore, folder: Path, wall: Wall) -> None:
    """What a killed writer left half written is removed after a minute, not before: its writer may only be slow."""
    draft = written_draft(folder)

    wall.now += STALE_DRAFT - 1
    touch(store)
    assert draft.exists()
    wall.now += 2
    touch(store)
    assert not draft.exists()


def test_drafts_being_written_stay(small: HostStore, folder: Path, wall: Wall) -> None:
    """Nobody removes what another process is writing at this moment, not even from a full store."""
    draft = written_draft(folder)

    for key in KEYS:
        small.put(key, lease())

    assert draft.exists()
    assert len(held(small)) == 3


def written_draft(folder: Path) -> Path:
    draft = folder / ".0123456789abcdef"
    draft.write_text(SECRET)
    os.utime(draft, (START, START))
    return draft


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize("sweep", [touch, HostStore.clear])
def test_common_files_stay(
    store: HostStore, folder: Path, wall: Wall, name: str, sweep: Callable[[HostStore], None]
) -> None:
    """The files that all processes hold open are never removed, however old: two processes must use the same ones."""
    before = (folder / name).stat().st_ino
    os.utime(folder / name, (0, 0))

    sweep(store)

    assert (folder / name).stat().st_ino == before


# when it cannot be written -------------------------------------------------------------------------------------------


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("size", "text"), [(0, "file too large"), (100, "no space left on device")])
def test_full(store: HostStore, root: Path, folder: Path, size: int, text: str) -> None:
    """A store that takes nothing, or only a part, says so; the lease it held stays whole, and no draft is left."""
    store.put(KEY, lease("old"))

    with pytest.raises(StoreError, match=f"^store directory {root}: {text}$"), file_size_limit(size):
        store.put(KEY, lease("new"))

    assert store.get(KEY) == lease("old")
    assert sorted(path.name for path in folder.iterdir()) == sorted([KEY, *OURS])


def test_no_space(store: HostStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a full tmpfs is the kernel's, and holds nothing of what was to be written."""

    def write(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)

    with pytest.raises(StoreError, match=f"^store directory {root}: no space left on device$"):
        store.fail(KEY, failure())


def test_too_large(store: HostStore, folder: Path) -> None:
    """A lease that no reader would accept is not written."""
    with pytest.raises(StoreError) as raised:
        store.put(KEY, lease("x" * LARGEST_FILE))

    assert raised.value.code == "store_lease_too_large"
    assert {path.name for path in folder.iterdir()} == OURS


def test_largest(store: HostStore) -> None:
    """A lease of 60,000 characters comes back."""
    store.put(KEY, lease("x" * 60_000))

    assert store.get(KEY) == lease("x" * 60_000)


def test_read_only(ram: Path, root: Path, folder: Path) -> None:
    """A directory that has become read-only says so."""
    if not os.geteuid():
        os.chown(ram, 65_534, -1)
    worker = Worker("starve", root).begins()
    try:
        assert worker.says() == f"store_unusable store directory {root}: permission denied"
    finally:
        worker.ends()
        folder.chmod(0o700)


def test_removed(store: HostStore, root: Path, folder: Path) -> None:
    """A directory that somebody removed holds nothing, and says so when written to."""
    store.put(KEY, lease())
    for path in [*folder.iterdir(), folder, root]:
        path.rmdir() if path.is_dir() else path.unlink()

    assert (store.get(KEY), list(store.leases())) == (None, [])
    assert not store.discard(KEY, lease().lease_id)
    store.clear()
    with pytest.raises(StoreError, match=f"^store directory {root}: no such file or directory$"):
        store.put(KEY, lease())


@pytest.mark.parametrize("forget", FORGET.values(), ids=FORGET)
def test_cannot_forget(
    store: HostStore, root: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[HostStore], object]
) -> None:
    """A lease that cannot be removed is not said to be gone: the kernel's reason is told."""
    store.put(KEY, lease())

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("unlink", "rename", "utime"):
        monkeypatch.setattr(os, name, read_only)

    with pytest.raises(StoreError, match=f"^store directory {root}: read-only file system$"):
        forget(store)


def test_no_locks(store: HostStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that gives no lock at all is an unusable store, not another process that mints."""

    def lockf(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", lockf)

    with pytest.raises(StoreError, match=f"^store directory {root}: no locks available$"), store.flight(KEY, UNTIL):
        pass


# which place ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "environ", "expected"),
    [
        ("auto", {}, ["/dev/shm/airflow-ephemeral-{uid}"]),
        ("auto", {"XDG_RUNTIME_DIR": ""}, ["/dev/shm/airflow-ephemeral-{uid}"]),
        (
            "auto",
            {"XDG_RUNTIME_DIR": "/run/user/7"},
            ["/dev/shm/airflow-ephemeral-{uid}", "/run/user/7/airflow-ephemeral"],
        ),
        ("/mnt/ram", {"XDG_RUNTIME_DIR": "/run/user/7"}, ["/mnt/ram"]),
    ],
)
def test_places(setting: str, environ: dict[str, str], expected: list[str]) -> None:
    """Shared memory comes first, then the user's runtime directory; a directory that was set is the only one."""
    assert [*places(setting, environ)] == [place.format(uid=os.geteuid()) for place in expected]


def test_off(root: Path) -> None:
    """Switched off, there is no store."""
    assert open_host("off", {"XDG_RUNTIME_DIR": str(root)}, INSTALLATION) is None


def test_second_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who squats on the first place only moves us to the second."""
    squatted = root.with_name("squatted")
    a_folder_of_mode(0o777)(squatted)
    monkeypatch.setattr(host, "places", lambda *_: (str(squatted), str(root)))

    opened = open_host("auto", {}, INSTALLATION)

    assert opened
    assert opened.root == str(root)
    opened.close()


def test_no_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no place is safe, the reason is that of the best one."""
    monkeypatch.setattr(host, "places", lambda *_: (str(root / "first" / "x"), str(root / "second" / "x")))

    with pytest.raises(StoreError, match="first"):
        open_host("auto", {}, INSTALLATION)


def test_private_directory_is_made_once(root: Path) -> None:
    """Opening a directory that is there and ours is no error."""
    for _ in range(2):
        os.close(open_private(str(root)))


def test_record_is_plain_json(store: HostStore, folder: Path) -> None:
    """A file names its version and its key, so that a later release can tell what it reads."""
    store.put(KEY, lease())
    store.fail(OTHER, failure(SourceFailed("no")))

    for name, key in ((KEY, KEY), (f"{OTHER}.failed", OTHER)):
        content = json.loads((folder / name).read_text())
        assert (content["version"], content["key"]) == (1, key)
