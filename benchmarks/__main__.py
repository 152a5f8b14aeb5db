"""
Run the benchmarks, each in a process of its own, and print one table; 1 if a goal is missed.

Without names all run but ``dag`` and ``gateway``, which take minutes: a real Airflow, with three runs of a Dag each.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from multiprocessing import get_context

from benchmarks.figure import measure, render

USUAL = (
    *("lookup", "startup", "reading", "storm", "hour", "rotation", "kills", "forks", "tokens", "shapes", "live"),
    *("audit", "doctor"),
)
NAMES = (*USUAL, "dag", "gateway")


def main(names: Sequence[str]) -> int:
    if unknown := set(names) - set(NAMES):
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = [figure for figures in pool.imap(measure, names or USUAL) for figure in figures]
    print(render(found))
    return 0 if all(figure.reached for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
