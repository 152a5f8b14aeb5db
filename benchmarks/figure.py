"""A measured figure, its goal, and how to time two things fairly."""

from __future__ import annotations

import statistics
import sys
import timeit
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

ROUNDS = 40
CALLS = 250


class Figure(NamedTuple):
    """What was measured, what came out, what it had to reach."""

    what: str
    measured: str
    goal: str
    reached: bool


def measure(name: str) -> list[Figure]:
    """Run one benchmark."""
    print(f"measuring {name}", file=sys.stderr, flush=True)
    return [*import_module(f"benchmarks.{name}").figures()]


def microseconds(call: Callable[[], object]) -> float:
    """Time one round of a call: microseconds each."""
    return timeit.timeit(call, number=CALLS) / CALLS * 1e6


def in_turn(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float, float]:
    """Time two calls in turn; the medians of both and of the ratio, pair by pair."""
    pairs = [(microseconds(ours), microseconds(theirs)) for _ in range(ROUNDS)]
    return (
        statistics.median(mine for mine, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(mine / other for mine, other in pairs),
    )


def render(figures: Sequence[Figure]) -> str:
    """Lay the figures out as a Markdown table."""
    rows = [
        ("what", "measured", "goal", ""),
        *((*figure[:3], "ok" if figure.reached else "MISSED") for figure in figures),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
