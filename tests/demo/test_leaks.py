"""A search that finds nothing must have been able to find something."""

from __future__ import annotations

import base64
import gzip
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_ephemeral_secrets.demo import leaks
from airflow_ephemeral_secrets.demo.leaks import Search

SECRET = 'FQoG+/ab"c\\d=~ZXIvYXdzEBYaD/+0123456789=='


def in_base64(offset: int, secret: str) -> bytes:
    return base64.b64encode(b"u:xyz"[:offset] + secret.encode() + b"?")


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "url": lambda secret: quote(secret, safe="").encode(),
    "url, lower case": lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")).encode(),
    "url, slashes kept": lambda secret: quote(secret).encode(),
    "json": lambda secret: json.dumps(secret).encode(),
    "json, slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/").encode(),
    "hex": lambda secret: secret.encode().hex().encode(),
    "hex, upper case": lambda secret: secret.encode().hex().upper().encode(),
    "utf-16-le": lambda secret: secret.encode("utf-16-le"),
    "utf-16-be": lambda secret: secret.encode("utf-16-be"),
    **{f"base64 after {offset}": partial(in_base64, offset) for offset in range(5)},
    "base64, url alphabet": lambda secret: base64.urlsafe_b64encode(secret.encode()),
}


@pytest.fixture
def search() -> Search:
    return Search({"token": SECRET})


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN.keys())
def test_finds_each_encoding_in_a_file(search: Search, tmp_path: Path, write: Callable[[str], bytes]) -> None:
    """A secret is found in a file in whatever form it was written, between other text."""
    path = tmp_path / "logs" / "task.log"
    path.parent.mkdir()
    path.write_bytes(b"before " + write(SECRET) + b" after")

    assert {finding.where for finding in search.tree(tmp_path)} == {"logs/task.log"}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN.keys())
def test_finds_each_encoding_in_a_cell(search: Search, tmp_path: Path, write: Callable[[str], bytes]) -> None:
    """A secret is found in a cell of any table, and the finding names table and column."""
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE empty (id INTEGER)")
        connection.execute('CREATE TABLE "odd name" (id INTEGER, payload BLOB, note TEXT)')
        connection.execute('INSERT INTO "odd name" VALUES (1, ?, ?)', (b"{" + write(SECRET) + b"}", "harmless"))

    assert {finding.where for finding in search.database(database)} == {"odd name.payload"}


def test_finds_text_cells(search: Search, tmp_path: Path) -> None:
    """Text is searched as well as blobs."""
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE log (event TEXT)")
        connection.execute("INSERT INTO log VALUES (?)", (f"got {SECRET}",))

    assert {finding.where for finding in search.database(database)} == {"log.event"}


def test_reads_compressed_files(search: Search, tmp_path: Path) -> None:
    """A compressed log is searched as what it holds, whatever its name."""
    (tmp_path / "rotated.1").write_bytes(gzip.compress(b"x" * 5000 + SECRET.encode()))

    assert {finding.where for finding in search.tree(tmp_path)} == {"rotated.1"}


def test_reads_what_only_looks_compressed(search: Search, tmp_path: Path) -> None:
    """A file that is not what its first bytes promise is searched as it is."""
    (tmp_path / "broken.gz").write_bytes(leaks.GZIP + b"not gzip " + SECRET.encode())

    assert {finding.where for finding in search.tree(tmp_path)} == {"broken.gz"}


def test_reads_truncated_compressed_files(search: Search, tmp_path: Path) -> None:
    """What can be read of a cut-off compressed file is searched."""
    whole = gzip.compress(SECRET.encode() + bytes(100_000) + b"end", compresslevel=0)
    (tmp_path / "cut.gz").write_bytes(whole[:-20])

    assert {finding.where for finding in search.tree(tmp_path)} == {"cut.gz"}


@pytest.mark.parametrize("before", range(0, 60, 7))
def test_finds_secrets_across_seams(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Files are read in pieces, and a secret that lies across two or more of them is found."""
    monkeypatch.setattr(leaks, "CHUNK", 16)
    (tmp_path / "file").write_bytes(b"." * before + SECRET.encode() + b"." * 40)

    assert {finding.encoding for finding in search.tree(tmp_path)} == {"raw"}


def test_clean_is_clean(search: Search, tmp_path: Path) -> None:
    """Nothing is found where there is nothing, and the bytes looked at are counted."""
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE log (event TEXT)")
        connection.execute("INSERT INTO log VALUES ('harmless')")
    (tmp_path / "scheduler.log").write_text(SECRET[:-1])

    assert search.tree(tmp_path) | search.database(database) == set()
    assert search.bytes == database.stat().st_size + len(SECRET) - 1 + len("harmless")


def test_findings_never_hold_the_secret(search: Search, tmp_path: Path) -> None:
    """A finding can be printed."""
    (tmp_path / "file").write_text(SECRET)

    (finding,) = search.tree(tmp_path)

    assert SECRET not in repr(finding)


def test_follows_no_links(search: Search, tmp_path: Path) -> None:
    """Only what lies below the directory is searched, and a loop does no harm."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text(SECRET)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "latest").symlink_to(outside)
    (inside / "file").symlink_to(outside / "file")
    (inside / "loop").symlink_to(inside)

    assert search.tree(inside) == set()


def test_missing_directory_is_an_error(search: Search, tmp_path: Path) -> None:
    """What cannot be searched must not pass for clean."""
    with pytest.raises(FileNotFoundError):
        search.tree(tmp_path / "absent")


@pytest.mark.parametrize("secrets", [{}, {"token": "short"}])
def test_refuses_searches_that_mean_nothing(secrets: dict[str, str]) -> None:
    """No secrets would always be clean, and a short one would be found by chance."""
    with pytest.raises(ValueError, match=r"nothing to search for|too short"):
        Search(secrets)
