"""What became of a run of a collection: counts, assertions and failures, without anything secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 500
SHOWN = 10


class Report:
    """
    Collect what a run tells, request by request.

    :param collection: its name
    """

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._requests = self._bytes = self._failed = self._left_out = 0
        self._ms = 0.0
        self._assertions: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def add(self, told: Mapping[str, Any]) -> None:
        """Add one request of the collection, with all that its scripts asked and asserted."""
        for request in told["requests"]:
            self._requests += 1
            self._bytes += request.get("bytes", 0)
            self._ms += request.get("ms", 0)
        for assertion in told["assertions"]:
            if len(self._assertions) < MOST:
                self._assertions.append({"item": told["item"], **assertion})
            else:
                self._left_out += 1
        self._left_out += told["left_out"]
        self._failed += told["failures_left_out"]
        for failure in failures(told):
            self._failed += 1
            if len(self.failures) < MOST:
                self.failures.append(failure)

    def summary(self) -> dict[str, Any]:
        """Give the whole, bounded."""
        return {
            "collection": self._collection,
            "requests": self._requests,
            "bytes": self._bytes,
            "ms": round(self._ms),
            "failed": self._failed,
            "assertions": self._assertions,
            "left_out": self._left_out,
        }

    def complaint(self) -> str | None:
        """Name what failed; None if nothing did."""
        if not self._failed:
            return None
        more = self._failed - SHOWN
        shown = "; ".join(self.failures[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return f"collection {self._collection}: {self._failed} failed: {shown}"


def failures(told: Mapping[str, Any]) -> Iterator[str]:
    """Name what went wrong with one request: no answer, a script that broke, an assertion that does not hold."""
    item = told["item"]
    for request in told["requests"]:
        if "error" in request:
            yield f"{item}: no answer from {request['host']} ({request['error']})"
    yield from (f"{item}: a script ended with {error}" for error in told["errors"])
    yield from (f"{item}: {one['name']}" for one in told["assertions"] if not one["ok"] and not one["skipped"])
