"""Search files and databases for secrets, in every form in which a secret is likely to be written down."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import sqlite3
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

CHUNK = 1 << 20
SHORTEST = 12
GZIP = b"\x1f\x8b"


class Finding(NamedTuple):
    """Where a secret was found; never the secret itself."""

    where: str
    secret: str
    encoding: str


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each encoding and the bytes to look for."""
    raw = secret.encode()
    yield "raw", raw
    for quoted in (quote(secret, safe=""), quote(secret)):
        yield "url", quoted.encode()
        yield "url", re.sub("%..", lambda escape: escape[0].lower(), quoted).encode()
    escaped = json.dumps(secret)[1:-1]
    yield "json", escaped.encode()
    yield "json", escaped.replace("/", "\\/").encode()
    for offset in range(3):
        encoded = _base64_core(raw, offset)
        yield "base64", encoded
        yield "base64", encoded.translate(bytes.maketrans(b"+/", b"-_"))
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    yield "utf-16", secret.encode("utf-16-le")
    yield "utf-16", secret.encode("utf-16-be")


def _base64_core(raw: bytes, offset: int) -> bytes:
    """Return the base64 digits that depend on these bytes alone, when ``offset`` other bytes stand before them."""
    encoded = base64.b64encode(bytes(offset) + raw)
    return encoded[-(-8 * offset // 6) : 8 * (offset + len(raw)) // 6]


class Search:
    """
    Look for secrets, and count the bytes looked at.

    :param secrets: a name that may be shown, and the secret
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        if not secrets:
            raise ValueError("there is nothing to search for")
        for name, secret in secrets.items():
            if len(secret) < SHORTEST:
                raise ValueError(f"{name} is too short to be searched for without false alarms")
        self._needles: dict[bytes, tuple[str, str]] = {}
        for name, secret in secrets.items():
            for form, needle in forms(secret):
                self._needles.setdefault(needle, (name, form))
        self._overlap = max(map(len, self._needles)) - 1
        self.patterns = len(self._needles)
        self.bytes = 0

    def tree(self, root: Path) -> set[Finding]:
        """Search every regular file below a directory."""
        return {finding for path in _files(root) for finding in self.file(path, str(path.relative_to(root)))}

    def file(self, path: Path, where: str) -> set[Finding]:
        """Search a file, however large, and what it holds if it is compressed."""
        with path.open("rb") as raw:
            found = set(self._stream(where, raw))
            raw.seek(0)
            compressed = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            if compressed:
                with gzip.open(raw) as inner, suppress(EOFError, gzip.BadGzipFile, zlib.error):
                    found.update(self._stream(where, inner))
        return found

    def content(self, where: str, content: bytes) -> set[Finding]:
        """Search some bytes."""
        return set(self._stream(where, io.BytesIO(content)))

    def database(self, path: Path) -> set[Finding]:
        """Search every cell of every table of a SQLite file."""
        found: set[Finding] = set()
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            connection.text_factory = bytes
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                name = table.decode()
                rows = connection.execute(f'SELECT * FROM "{name}"')
                columns = [column[0] for column in rows.description]
                for row in rows:
                    for column, cell in zip(columns, row, strict=True):
                        if isinstance(cell, bytes):
                            found |= self.content(f"{name}.{column}", cell)
        return found

    def _stream(self, where: str, stream: io.BufferedIOBase) -> Iterator[Finding]:
        """Search a stream in pieces that overlap, so that nothing hides at a seam."""
        tail = b""
        while chunk := stream.read(CHUNK):
            self.bytes += len(chunk)
            window = tail + chunk
            for needle, label in self._needles.items():
                if needle in window:
                    yield Finding(where, *label)
            tail = window[-self._overlap :]


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root, onerror=_raise):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _raise(error: OSError) -> None:
    raise error
