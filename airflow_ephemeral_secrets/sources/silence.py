"""SDKs kept quiet while they mint: their loggers write down what is sent and what comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_silent: ContextVar[bool] = ContextVar("_silent", default=False)


@contextmanager
def silence(*packages: str) -> Iterator[None]:
    """
    Keep the loggers of some packages quiet in this thread while the block lasts.

    :param packages: their top-level names; what they log from is imported already
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in packages:
            logging.getLogger(name).addFilter(_heard)
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def _heard(_: logging.LogRecord) -> bool:
    return not _silent.get()
