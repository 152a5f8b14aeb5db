"""The environment of demo processes: nothing of the user's clouds, proxies or Airflow reaches them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

ALLOWED = frozenset(
    {
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PYTHONPATH",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)


def allowed() -> dict[str, str]:
    """Return the variables of this process that a demo process may see."""
    return {name: value for name, value in os.environ.items() if name in ALLOWED}


@contextmanager
def scrubbed() -> Iterator[None]:
    """Hide every other variable from this process too, until the block ends."""
    before = dict(os.environ)
    after = allowed()
    try:
        os.environ.clear()
        os.environ.update(after)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
