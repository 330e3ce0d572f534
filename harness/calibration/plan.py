"""How long the outages are: spread evenly over the orders of magnitude, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

SHORTEST, LONGEST = 0.05, 20.0

_Item = TypeVar("_Item")


def lengths(count: int, rng: random.Random, shortest: float = SHORTEST, longest: float = LONGEST) -> list[float]:
    """So many lengths in seconds, in random order: one from each of as many equal parts of the logarithmic scale, so
    that no sample misses an end of it, and their sum hardly depends on the seed."""
    found = [shortest * (longest / shortest) ** ((index + rng.random()) / count) for index in range(count)]
    rng.shuffle(found)
    return found


def dealt(items: Sequence[_Item], hands: int) -> list[list[_Item]]:
    """The items dealt out to so many hands in turn."""
    return [list(items[hand::hands]) for hand in range(hands)]
