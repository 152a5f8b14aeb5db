"""
Traces: what was asked and what came back, without values of headers or queries, one small JSON file per request.

They lie below a path that fsspec knows, such as ``s3://conn_id@bucket/prefix`` or ``file:///var/traces``, and nowhere
else. A trace that cannot be written costs itself and a warning, never the request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime, timezone
from typing import Any

import msgspec

from airflow_ephemeral_secrets import _airflow

PATIENCE = 10.0
"""Seconds to wait for a trace to be written."""
LARGEST = 64 * 1024

log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Trace:
    """
    Write traces below a path.

    :param path: where, in the words of Airflow's ``ObjectStoragePath``
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, name: str, facts: Mapping[str, Any]) -> None:
        """
        Write one trace into the folder of today (UTC).

        :param name: of the file, without its ending
        :param facts: free of secrets; Airflow's masks are put over them all the same
        """
        day = datetime.now(timezone.utc).date().isoformat()
        try:
            content = _encode(_airflow.redact(dict(facts)))
            if len(content) > LARGEST:
                raise ValueError("too large")
            _within(PATIENCE, self._path, f"{day}/{name}.json", content)
        except Exception as error:
            log.warning("a trace could not be written (%s); the request is not affected", type(error).__name__)


def _within(seconds: float, root: str, name: str, content: bytes) -> None:
    """Write in a thread of its own, which is left behind if it takes too long."""
    failed: list[BaseException] = []

    def write() -> None:
        try:
            _write(root, name, content)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=copy_context().run, args=(write,), name="airflow-ephemeral-trace", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if failed:
        raise failed[0]


def _write(root: str, name: str, content: bytes) -> None:
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(root) / name
    if path.protocol in ("", "file"):
        path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
