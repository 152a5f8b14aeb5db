"""How long to pause: as the gateway asks, and a random part more, so that many who were sent away come back apart."""

from __future__ import annotations

from random import Random

STEEPEST = 30


def delay(random: Random, failures: int, wait: float | None, *, base: float, longest: float) -> float:
    """
    Give the seconds to pause.

    Without a wait that is full jitter: anything up to a bound that doubles with each failure. With one, what is added
    is at most the larger of the bound and the wait itself. A wait beyond the longest pause is cut, at random between
    half of the longest and all of it: whoever is cut short comes back apart from the others too.

    :param failures: how often it has failed, this time included
    :param wait: seconds that the gateway asks for
    :param base: the bound after the first failure
    """
    bound = min(longest, base * 2 ** min(max(failures, 1) - 1, STEEPEST))
    if not wait:
        return random.uniform(0, bound)
    if wait >= longest:
        return random.uniform(longest / 2, longest)
    return random.uniform(wait, min(longest, wait + max(bound, wait)))
