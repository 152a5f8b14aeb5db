"""Run every benchmark and print one table; 1 if a figure misses its goal."""

from __future__ import annotations

import sys

from benchmarks import lookup, startup
from benchmarks.figure import Figure, render


def main() -> int:
    figures: list[Figure] = [*lookup.figures(), *startup.figures()]
    print(render(figures))
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
