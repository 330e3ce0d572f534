"""Surprise mode: the start, the order and the victims are drawn inside the windows and kept secret until the end.

All is drawn from the seed of the run and a random salt. The seed is printed at the start of a run, so a draw from it
alone would not be a secret. After the salt is shown, anyone can repeat the draw.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from harness.common.clock import iso, parse_kubernetes_time
from harness.gameday.calendar import YEAR, Calendar
from harness.gameday.sealing import SealedPlan, seal
from harness.model.quantities import Duration, show_seconds

_MINUTE = 60.0


class Surprise(BaseModel):
    """Surprise mode: when the day begins and whom it hits is shown only after it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    within: Duration = Field(
        default=8 * 3600.0,
        ge=0,
        description="the day begins within this time after the start of the run, inside the windows; 0s: at once",
    )
    order: bool = Field(
        default=True, strict=True, description="whether the order of the experiments is drawn and sealed too"
    )

    @field_validator("within")
    @classmethod
    def _within_a_year(cls, value: float) -> float:
        # The calendar is not known for longer, and a plan that is drawn so far ahead is a mistake.
        if value > YEAR:
            raise ValueError(f"found {show_seconds(value)}, expected at most {show_seconds(YEAR)}")
        return value


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn: the start in Unix seconds, the seed for the victims, and the turns by their titles, in order."""

    start: float
    victim_seed: int
    turns: tuple[str, ...]

    def sealed(self, name: str, seed: int, salt: str) -> SealedPlan:
        """Return the sealed plan of the game day ``name`` in a run with this seed."""
        return seal(
            {
                "gameDay": name,
                "runSeed": seed,
                "start": iso(self.start),
                "turns": list(self.turns),
                "victimSeed": self.victim_seed,
            },
            salt,
        )


def opened(plan: SealedPlan) -> Draw:
    """Return what a sealed plan contains."""
    data = plan.plan
    return Draw(parse_kubernetes_time(data["start"]), int(data["victimSeed"]), tuple(data["turns"]))


def draw(
    surprise: Surprise, calendar: Calendar, turns: Sequence[str], *, seed: int, salt: str, now: float, seconds: float
) -> Draw | None:
    """Draw a surprise at ``now`` (Unix seconds). ``seconds`` is how long the first experiment may take.

    ``turns`` are in their order (see ``place``).

    Return None if the windows are never open that long within the time for the start.
    """
    # The digest, since the seed of `Random` must not be confused with that of another salt.
    digest = hashlib.sha256(f"{seed}:{salt}".encode()).digest()
    rng = random.Random(int.from_bytes(digest))  # noqa: S311 - the secret is the salt
    start = draw_start(rng, calendar, now, now + surprise.within, seconds)
    if start is None:
        return None
    victim_seed = rng.getrandbits(32)
    return Draw(start, victim_seed, tuple(turns))


def place(title: str, salt: str) -> str:
    """Return what a turn of this title is ordered by within its round: random, but fixed by the salt."""
    return hashlib.sha256(f"{salt}:{title}".encode()).hexdigest()


def draw_start(rng: random.Random, calendar: Calendar, after: float, until: float, seconds: float) -> float | None:
    """Return a start between two times, each open second being equally likely; None if there is none.

    It is a whole minute where that is inside, and leaves ``seconds`` until the end of its span. All in Unix seconds.
    """
    # The span may go on after the last possible start.
    spans = calendar.spans(after, until + seconds + 1.0)
    possible = [(span.start, min(span.end - seconds, until)) for span in spans]
    possible = [(first, last) for first, last in possible if last >= first]
    if not possible:
        return None
    lengths = [last - first for first, last in possible]
    # A span that is just long enough has a single start.
    [(first, last)] = rng.choices(possible, lengths if any(lengths) else None)
    start = rng.uniform(first, last)
    minute = start // _MINUTE * _MINUTE
    return minute if minute >= first else start
