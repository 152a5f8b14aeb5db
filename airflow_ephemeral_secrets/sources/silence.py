"""SDKs kept quiet while they mint: their loggers write down what is sent and what comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_silent: ContextVar[frozenset[str]] = ContextVar("_silent", default=frozenset())


@contextmanager
def silence(*packages: str) -> Iterator[None]:
    """
    Keep the loggers of some packages quiet in this thread while the block lasts.

    :param packages: their top-level names; what they log from is imported already
    """
    for name in list(logging.root.manager.loggerDict):
        if _package(name) in packages:
            logging.getLogger(name).addFilter(_heard)
    token = _silent.set(_silent.get().union(packages))
    try:
        yield
    finally:
        _silent.reset(token)


def _heard(record: logging.LogRecord) -> bool:
    return _package(record.name) not in _silent.get()


def _package(name: str) -> str:
    return name.partition(".")[0]
