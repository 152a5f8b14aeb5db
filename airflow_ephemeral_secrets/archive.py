"""A log file that a rotation may have compressed."""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase

BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading raises where a ``.gz`` breaks off, is damaged or is none: its lines end there."""


def unpacked(path: str) -> BufferedIOBase:
    """
    Open a file, whose name says whether it is compressed.

    :raises OSError: when it cannot be opened
    """
    return gzip.open(path) if path.endswith(".gz") else open(path, "rb")
