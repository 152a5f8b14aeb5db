"""The body of a request: passed on as it comes, or held so that it can be hashed and sent again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from types import TracebackType
from typing import IO

IN_MEMORY = 1 << 20
LARGEST = 5 << 30
CHUNK = 64 * 1024


class Gone(Exception):
    """Say that the client left before its body was whole; nobody is there to be told."""


class TooLarge(Exception):
    """Say that a body is larger than is held here."""


class NoSpace(Exception):
    """Say that there is no space to hold a body in, and why."""


class Body:
    """
    Read a body once, in pieces, or hold it: up to 1 MiB in memory, more in a file without a name.

    :param pieces: as they come from the client
    :param expected: whether the request announced one
    """

    def __init__(self, pieces: Iterator[bytes], *, expected: bool) -> None:
        self._pieces = pieces
        self.expected = expected
        self._held: IO[bytes] | None = None
        self.size = 0
        self.sha256 = ""

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held:
            self._held.close()

    def hold(self, most: int = LARGEST) -> Body:
        """
        Read all of it, so that it can be sent more than once.

        :param most: bytes, 5 GiB unless said otherwise
        :raises TooLarge: when there are more
        :raises NoSpace: when they cannot be written
        :raises Gone: when the client leaves meanwhile
        """
        if self._held is None:
            digest = sha256()
            self._held = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # closed with the body
            for piece in self._pieces:
                self.size += len(piece)
                if self.size > most:
                    raise TooLarge
                digest.update(piece)
                self._keep(piece)
            self.sha256 = digest.hexdigest()
        return self

    def _keep(self, piece: bytes) -> None:
        assert self._held
        try:
            self._held.write(piece)
        except OSError as error:
            why = f"{tempfile.gettempdir()}: {os.strerror(error.errno or 0).lower()}"
        else:
            return
        raise NoSpace(why)

    def pieces(self) -> Iterator[bytes]:
        """Give it, from its beginning if it is held."""
        if self._held is None:
            yield from self._pieces
            return
        self._held.seek(0)
        while piece := self._held.read(CHUNK):
            yield piece
