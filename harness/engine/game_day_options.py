"""The options for game days, and for the choice of experiments that fit a time budget."""

from __future__ import annotations

from pathlib import Path

from harness.common.option_values import names, truth
from harness.engine.option import Option
from harness.model.quantities import parse_duration


def time_budget(text: str) -> float | None:
    """Return a duration in seconds; None for an empty text. Raises ValueError."""
    if not text:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not isinstance(seconds, float) or seconds <= 0:
        raise ValueError("a duration of more than 0s, such as 20m or 1h30m")
    return seconds


def folders(text: str) -> tuple[Path, ...]:
    """Return the folders of a list that is separated by commas."""
    return tuple(map(Path, names(text)))


def located(text: str, folder: Path) -> str:
    """Return a list of folders with absolute paths."""
    return ",".join(str(folder / each) for each in folders(text))


GAME_DAY_OPTIONS = (
    Option(
        "budget",
        "run the experiments that are worth most per minute in this time (20m): never run, changed, broken lately, "
        "longest ago; it is wall time, also with -n; the others are listed with the reason",
        sets="budget",
        read=time_budget,
        metavar="DURATION",
    ),
    Option(
        "history",
        "folder with the results of earlier runs that a time budget considers, beside the report folder; may be "
        "repeated",
        sets="history",
        read=folders,
        metavar="DIR",
        many=True,
        locate=located,
    ),
    Option(
        "fresh",
        "start a new game day, also if an interrupted one could continue",
        sets="fresh",
        read=truth,
        flag=True,
    ),
)
