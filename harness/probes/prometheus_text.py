"""What a PromQL query reads, told from its text alone: its selectors, its ranges, and how far back they reach.

A whole grammar would be more than is asked for. Strings and comments are told apart from the rest, parentheses are
followed, and whatever cannot be read counts as reaching back without end, which no objective may.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from harness.quantities import parse_duration

WINDOW = "$window"
_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`'
_TOKEN = re.compile(
    rf"(?P<blank>(?:\s|\#[^\n]*)+)|(?P<string>{_STRING})|(?P<braces>\{{(?:[^}}\"'`]|{_STRING})*\}})"
    r"|(?P<range>\[[^\]]*\])|(?P<name>\$?[a-zA-Z_:][\w:]*)|(?P<number>[\d.][\w.]*)|(?P<sign>.)",
    re.DOTALL,
)
_GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _GROUPINGS | {"and", "or", "unless", "bool", "atan2", "inf", "nan", "offset"}
_AGGREGATORS = {"sum", "avg", "count", "min", "max", "stddev", "stdvar", "topk", "bottomk", "quantile", "group"} | {
    "count_values",
    "limitk",
    "limit_ratio",
}
_HOURS = {"d": 24, "w": 168, "y": 8760}
# Fewer scrapes in a window than this, and a rate rests on two samples or none.
SCRAPES_PER_WINDOW = 4
# Functions whose argument is a counter, which may begin again.
COUNTING = frozenset({"rate", "irate", "increase"})
# Whatever is inside one of these is not the counter's value, which counts since its process started: it is how much it
# changed, or whether it is there. What comes of it over some time was asked for on purpose.
_OF_A_SPAN = COUNTING | {"delta", "idelta", "deriv", "resets", "changes"}
_OF_ITS_BEING_THERE = {"count", "group", "absent"}
_OVER_TIME = "_over_time"
# What a counter's name ends in by convention; a colon is in the names of recorded rules, which may be anything.
_COUNTER = re.compile(r"[^:]+_(?:total|count|sum|bucket)")
_MATCHER = re.compile(rf"(?P<label>\w+)\s*(?P<sign>=~|!~|!=|=)\s*(?P<value>{_STRING})")


@dataclass(frozen=True, slots=True)
class Selector:
    """``text`` is its name and matchers; ``range`` what stands in brackets behind, or nothing; ``function`` what it is
    the first argument of, or nothing; ``raw``: nothing around it takes anything but its value; ``earlier``: an offset
    follows; ``subtracted``: a minus stands between it and the selector before it."""

    text: str
    range: str
    function: str
    raw: bool
    earlier: bool = False
    subtracted: bool = False

    @property
    def name(self) -> str:
        """The metric's; nothing where it is not told or one of many."""
        named = [value for label, sign, value in self.matchers if label == "__name__" and sign == "="]
        return self.text.partition("{")[0].strip() or next(iter(named), "")

    @property
    def matchers(self) -> list[tuple[str, str, str]]:
        """The label, the sign and the value of each, as far as they can be read."""
        braces = self.text[self.text.find("{") :] if "{" in self.text else ""
        found = ((one["label"], one["sign"], one["value"]) for one in _MATCHER.finditer(braces))
        plain = re.compile(r"\\(.)")
        return [
            (label, sign, value[1:-1] if value.startswith("`") else plain.sub(r"\1", value[1:-1]))
            for label, sign, value in found
        ]

    def may_select(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects series of a target with these labels, as far as they tell: series have others, too."""
        return all(_fits(labels[label], sign, value) for label, sign, value in self.matchers if label in labels)


@dataclass(slots=True)
class _Level:
    """One pair of parentheses: what stands before them, and how far back their content reaches, in seconds. Around
    labels' names, ``before`` is what stands before the word for it: the aggregator, as in ``sum by (pod)``."""

    function: str
    names: bool = False
    before: str = ""
    reach: float = 0.0
    last: float = 0.0


class Reading:
    """A query as read: ``selectors``, all ``ranges`` (those of subqueries without their step), and ``reach``, in
    seconds; ``window`` is the length that ``$window`` stands for."""

    def __init__(self, query: str, window: float) -> None:
        self._window = window
        self.selectors: list[Selector] = []
        self.ranges: list[str] = []
        self._tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(query)]
        self._tokens = [(kind, text) for kind, text in self._tokens if kind != "blank"]
        self._levels = [_Level("")]
        self._minus = False
        self._read()
        self.reach = max(level.reach for level in self._levels)

    def seconds(self, text: str) -> float:
        """The length of a range; without end when it cannot be read."""
        if text == WINDOW:
            return self._window
        try:
            return float(str(parse_duration(re.sub(r"(\d+)([dwy])", _hours, text))))
        except ValueError:
            return math.inf

    def _read(self) -> None:
        before, index = "", 0
        while index < len(self._tokens):
            kind, text = self._tokens[index]
            length = 1
            if text == "(":
                word = before.lower()
                self._levels.append(_Level(word, word in _GROUPINGS, self._peek(index - 2) if index > 1 else ""))
            elif text == ")" and len(self._levels) > 1:
                text = self._close(self._levels.pop())
            elif text == "-":
                self._minus = True
            elif kind == "range":
                # What follows no selector follows an expression: a subquery, whose range comes on top.
                self._goes_back(self._range(text), further=True)
            elif text == "@":
                self._goes_back(math.inf, further=True)
            elif text.lower() == "offset":
                length = 3 if self._peek(index + 1) in {"-", "+"} else 2
                self._goes_back(self.seconds(self._peek(index + length - 1)), further=True)
            elif self._selects(index):
                length = self._select(index, before)
            before, index = text, index + length

    def _peek(self, index: int, kind: str = "") -> str:
        found = self._tokens[index] if index < len(self._tokens) else ("", "")
        return found[1] if kind in {"", found[0]} else ""

    def _close(self, level: _Level) -> str:
        """Leave a level; what then stands before whatever follows."""
        if level.names:
            return level.before
        self._goes_back(level.reach, further=False)
        return ")"

    def _goes_back(self, seconds: float, *, further: bool) -> None:
        level = self._levels[-1]
        level.last = level.last + seconds if further else seconds
        level.reach = max(level.reach, level.last)

    def _range(self, text: str) -> float:
        length = text[1:-1].partition(":")[0].strip()
        self.ranges.append(length)
        return self.seconds(length)

    def _selects(self, index: int) -> bool:
        """Whether a selector begins here, and not a function, a keyword or a label's name."""
        kind, text = self._tokens[index]
        if kind == "braces":
            return True
        if kind != "name" or self._levels[-1].names or text.lower() in _WORDS or text.startswith("$"):
            return False
        following = self._peek(index + 1).lower()
        return following != "(" and not (text.lower() in _AGGREGATORS and following in _GROUPINGS)

    def _select(self, index: int, before: str) -> int:
        """Take in the selector that begins here; how many tokens it has."""
        text, length = self._tokens[index][1], 1
        braces = "" if self._tokens[index][0] == "braces" else self._peek(index + 1, "braces")
        if braces:
            text, length = text + braces, 2
        within = self._peek(index + length, "range")
        self._goes_back(self._range(within) if within else 0.0, further=False)
        function = self._levels[-1].function if before == "(" else ""
        raw = not any(_takes_no_value(level.function) for level in self._levels)
        length += bool(within)
        earlier = self._peek(index + length).lower() == "offset"
        self.selectors.append(
            Selector(text, self.ranges[-1] if within else "", function, raw, earlier, subtracted=self._minus)
        )
        self._minus = False
        return length


def raw_counter(query: str) -> str:
    """Why a query does not tell what was counted in a phase, or nothing: it takes the value of a counter as it is.
    One minus the same at an earlier time, by ``offset``, is how much it changed."""
    selectors = Reading(query, 0).selectors
    differences = {at for at, pair in enumerate(pairwise(selectors)) if _is_difference(*pair)}
    raw = (one for at, one in enumerate(selectors) if one.raw and not {at, at - 1} & differences)
    name = next((one.name for one in raw if _COUNTER.fullmatch(one.name)), "")
    if not name:
        return ""
    expected = f"expected a rate or an increase of it, such as increase({name}[{WINDOW}])"
    return f"found the counter {name} as it is, which counts since its process started and not in the phase, {expected}"


def misfit(query: str, window: float, interval: float, *, reduced: bool) -> str:
    """Why a query would read what is not of the phase it is asked about, or nothing. ``window`` is the phase's length,
    ``interval`` the time between two scrapes, both in seconds; ``reduced``: it is asked once a scrape, not at the end.

    A query that is asked at the end of a phase must look back over all of it and no further: in a range of five minutes
    the errors of a fault of ten seconds are one part in thirty. One that is asked once a scrape may look back a little,
    since its first answer is not asked for before it looks back at nothing but the phase.
    """
    read = Reading(query, window)
    if reduced:
        return _once_a_scrape(read, window, SCRAPES_PER_WINDOW * interval)
    other = next((each for each in read.ranges if each != WINDOW), None)
    if other is not None:
        return f"found the range [{other}], expected [{WINDOW}]: any other does not look back at the phase alone"
    if read.reach > window:
        return f"found an offset, an @ or a range of a range, which looks back before the phase, expected [{WINDOW}]"
    return ""


def _once_a_scrape(read: Reading, window: float, least: float) -> str:
    if WINDOW in read.ranges:
        return f"found [{WINDOW}] beside a reducer, which looks back before the phase, expected a range such as [5s]"
    short = next((each for each in read.ranges if read.seconds(each) < least), None)
    if short is not None:
        return f"found the range [{short}], expected at least {least:g} s: {SCRAPES_PER_WINDOW} scrapes"
    if read.reach and window - read.reach < least:
        most = f"at most {window - least:g} s" if window >= 2 * least else "none"
        left = f"{SCRAPES_PER_WINDOW} scrapes must be left of a phase of {window:g} s"
        return f"found ranges that look back {read.reach:g} s, expected {most}: {left}"
    return ""


def _takes_no_value(function: str) -> bool:
    return function in _OF_A_SPAN | _OF_ITS_BEING_THERE or function.endswith(_OVER_TIME)


def _is_difference(now: Selector, before: Selector) -> bool:
    return now.text == before.text and before.subtracted and before.earlier and not now.earlier


def _fits(label: str, sign: str, value: str) -> bool:
    if sign in {"=", "!="}:
        return (label == value) is (sign == "=")
    try:
        return bool(re.fullmatch(value, label)) is (sign == "=~")
    except re.error:
        # RE2 knows some forms that Python does not.
        return True


def _hours(found: re.Match[str]) -> str:
    return f"{int(found[1]) * _HOURS[found[2]]}h"
