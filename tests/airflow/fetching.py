"""How long a task of the Dags in ``fetch_dags`` works: each of them imports one provider, and no more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SECONDS = float(os.environ["LIFE"])


def again_and_again(do: Callable[[], object]) -> None:
    """Do something until its tokens have died several times."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        do()
        time.sleep(0.3)  # as a sensor pokes: what is proven is work that takes longer than tokens live
