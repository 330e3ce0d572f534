"""The lengths of the outages: evenly spread on a logarithmic scale, reproducible by seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

SHORTEST, LONGEST = 0.05, 20.0

_Item = TypeVar("_Item")


def lengths(count: int, rng: random.Random, shortest: float = SHORTEST, longest: float = LONGEST) -> list[float]:
    """Return ``count`` lengths in seconds, in random order.

    One length is drawn from each of ``count`` equal parts of the logarithmic scale (stratified sampling), so that both
    ends of the scale are covered and the sum hardly depends on the seed."""
    found = [shortest * (longest / shortest) ** ((index + rng.random()) / count) for index in range(count)]
    rng.shuffle(found)
    return found


def distribute(items: Sequence[_Item], groups: int, length: Callable[[_Item], float]) -> list[list[_Item]]:
    """Distribute items to ``groups`` lists whose total lengths in seconds are nearly equal, longest items first.

    Groups run at the same time, so the one with the greatest total decides how long all of them take.
    """
    found: list[list[_Item]] = [[] for _ in range(groups)]
    totals = [0.0] * groups
    for item in sorted(items, key=length, reverse=True):
        least = totals.index(min(totals))
        found[least].append(item)
        totals[least] += length(item)
    return found
