"""What every such module needs: attempts, operators that defer, and how often the backend was asked."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any
from unittest.mock import MagicMock

from airflow.sdk.exceptions import TaskDeferred

from airflow_ephemeral_secrets import EphemeralSecretsBackend

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)

PAUSE = 0.3

asked: list[str] = []


def _count(name: str) -> None:
    lookup = getattr(EphemeralSecretsBackend, name)

    def counted(self: Any, conn_id: str, *given: Any, **more: Any) -> Any:
        asked.append(conn_id)
        return lookup(self, conn_id, *given, **more)

    setattr(EphemeralSecretsBackend, name, counted)


_count("get_connection")
_count("aget_connection")


def attempt(what: Callable[[], Any]) -> Any:
    """Do something, or tell the whole error."""
    try:
        return what()
    except Exception as error:
        return {"error": type(error).__name__, "told": "".join(traceback.format_exception(error))}


def uri(hook: Any) -> Any:
    """Say what a task's log would show of a hook's URI."""
    from airflow.sdk.log import redact

    return redact(str(hook.get_uri()))


def lookups(conn_id: str, what: Callable[[], Any]) -> int:
    """Count how often a connection is asked for."""
    before = asked.count(conn_id)
    what()
    return asked.count(conn_id) - before


def again(what: Callable[[], Any]) -> None:
    """Do something over and over, for ``FOR`` seconds after the first time, which loads what it needs."""
    what()
    end = time.monotonic() + float(os.environ["FOR"])
    while time.monotonic() < end:
        what()
        time.sleep(PAUSE)


def execute(operator: Any) -> Any:
    """Run an operator as a task does."""
    return operator.execute(MagicMock())


def deferred(operator: Any) -> dict[str, Any]:
    """Run an operator until it defers: what goes into the trigger's row, and the event that the trigger then fires."""
    try:
        operator.execute(MagicMock())
    except TaskDeferred as leave:
        return {"row": repr(leave.trigger.serialize()), **fired(leave.trigger)}
    raise AssertionError("it did not defer")


def fired(trigger: Any) -> dict[str, Any]:
    """Make a trigger anew from its row, as the triggerer does, and wait for its event."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")

    async def first() -> Any:
        return (await anext(getattr(import_module(module), name)(**kwargs).run())).payload

    return {"row": repr((path, kwargs)), "event": asyncio.run(first())}


def tell(**seen: Any) -> None:
    """Print what was seen, for the test to read."""
    print(json.dumps(seen, default=str))
