"""Analyse PromQL queries by their syntax tree: selectors, ranges, and how far back they reach.

Queries may contain ``$namespace``, within strings only, and ``$window``, the length of a phase, as a duration.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import promql_parser as parser

WINDOW = "$window"
# With fewer scrapes in a window, a rate may be based on only two samples, or have no value.
SCRAPES_PER_WINDOW = 4
# Functions whose argument is a counter, and which handle its resets.
COUNTING = frozenset({"rate", "irate", "increase"})

# Replaces ``$window`` while a query is parsed: a duration in milliseconds that does not occur in real queries.
_WINDOW_MILLISECONDS = 1_777_777_777
# The parser recurses without a limit and would crash the process. On a 1 MiB stack it handles four times as many.
_MAX_OPERATORS = 250
_MAX_LENGTH = 20_000
# PromQL has three kinds of strings; between backquotes a backslash escapes nothing.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`', re.DOTALL)
# Everything that adds a level to the syntax tree, counted before parsing to bound the recursion.
_OPERATOR = re.compile(r"[-+*/%^(\[{<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{\w+\}|\$\w+")
_UNKNOWN_FUNCTION = re.compile(r"unknown function with name '(\w+)'")
# The result of these functions is not a counter's raw value, counted since its process started, but its change, or
# whether it exists. An ``_over_time`` function states the intent explicitly, so its argument is accepted as well.
_CHANGE = COUNTING | {"delta", "idelta", "deriv", "resets", "changes"}
_EXISTENCE = {"count", "group", "absent"}
_OVER_TIME = "_over_time"
# The usual suffixes of counters. Names of recording rules contain a colon and may be of any type.
_COUNTER = re.compile(r"[^:]+_(?:total|count|sum|bucket)")
_SIGNS = (
    (parser.MatchOp.Equal, "="),
    (parser.MatchOp.NotEqual, "!="),
    (parser.MatchOp.Re, "=~"),
    (parser.MatchOp.NotRe, "!~"),
)
# For suggestions only: the parser does not export its list of functions.
_COMMON = frozenset(
    {
        "abs",
        "absent",
        "absent_over_time",
        "avg",
        "avg_over_time",
        "ceil",
        "changes",
        "clamp_max",
        "clamp_min",
        "count",
        "count_over_time",
        "delta",
        "deriv",
        "exp",
        "floor",
        "histogram_quantile",
        "holt_winters",
        "idelta",
        "increase",
        "irate",
        "label_join",
        "label_replace",
        "last_over_time",
        "ln",
        "log10",
        "log2",
        "max",
        "max_over_time",
        "min",
        "min_over_time",
        "predict_linear",
        "quantile_over_time",
        "rate",
        "resets",
        "round",
        "scalar",
        "sort",
        "sort_desc",
        "sqrt",
        "stddev_over_time",
        "sum",
        "sum_over_time",
        "time",
        "timestamp",
        "vector",
    }
)


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant or range vector selector of a query.

    ``text`` is its name and matchers, ``range`` its range as text or empty, and ``function`` the function or aggregator
    that it is a direct argument of, or empty. ``raw``: the result depends on its value itself, not on its change or
    existence. ``earlier``: it has an offset. ``subtracted``: there is a minus between it and the previous selector.
    ``matchers`` are tuples of label, operator and value.
    """

    text: str
    range: str
    function: str
    raw: bool
    earlier: bool = False
    subtracted: bool = False
    matchers: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the metric; empty if the selector may match several."""
        named = [value for label, sign, value in self.matchers if label == "__name__" and sign == "="]
        return next(iter(named), "")

    def may_select(self, labels: Mapping[str, str]) -> bool:
        """Return whether it may select series of a target with these labels; series may have additional labels."""
        return all(_fits(labels[label], sign, value) for label, sign, value in self.matchers if label in labels)


def problem(query: str) -> str:
    """Return what is wrong with a query in one sentence, or an empty text: syntax, unknown function, wrong argument."""
    plain = _STRING.sub('""', query)
    unknown = next((name for name in _VARIABLE.findall(plain) if name != WINDOW), None)
    if unknown == "$namespace":
        return 'found $namespace outside of quotes, expected it within a string, as in {namespace="$namespace"}'
    if unknown:
        return f"found the variable {unknown}, expected $namespace or {WINDOW}"
    operators = len(_OPERATOR.findall(plain))
    if len(query) > _MAX_LENGTH or operators > _MAX_OPERATORS:
        return (
            f"found a query of {len(query):,} characters and {operators:,} operators and brackets, "
            f"expected at most {_MAX_LENGTH:,} and {_MAX_OPERATORS}"
        )
    try:
        parser.parse(_filled(query))
    except ValueError as error:
        return _explained(str(error))
    return ""


def checked_query(query: str) -> str:
    """Return the query unchanged. Raises ValueError with its :func:`problem`."""
    wrong = problem(query)
    if wrong:
        raise ValueError(wrong)
    return query


class Reading:
    """An analysed query.

    It has the ``selectors``, all ``ranges`` (those of subqueries without their step), and ``reach``: how many seconds
    the query looks back. ``window`` is the length of ``$window`` in seconds. Raises ValueError for a query with a
    :func:`problem`.
    """

    def __init__(self, query: str, window: float) -> None:
        wrong = problem(query)
        if wrong:
            raise ValueError(f"not valid PromQL: {wrong}: {query}")
        self._window = window
        self.selectors: list[Selector] = []
        self.ranges: list[str] = []
        self._seconds: dict[str, float] = {WINDOW: window}
        self._minus = False
        self.reach = self._read(parser.parse(_filled(query)), ())

    def seconds(self, text: str) -> float:
        """Return the length of one of the ``ranges`` in seconds."""
        return self._seconds[text]

    def _read(self, expression: object, around: tuple[str, ...]) -> float:
        """Return how many seconds an expression looks back. ``around`` are the functions and aggregators around it."""
        back = 0.0
        match expression:
            case parser.VectorSelector():
                back = self._select(expression, None, around)
            case parser.MatrixSelector():
                back = self._select(expression.vector_selector, expression.range, around)
            case parser.SubqueryExpr():
                # A subquery's range is added to how far its expression looks back at each step.
                within = self._read(expression.expr, around)
                back = within + self._range(expression.range) + self._shift(expression)
            case parser.Call():
                back = self._farthest(expression.args, (*around, expression.func.name))
            case parser.AggregateExpr():
                back = self._farthest([expression.param, expression.expr], (*around, str(expression.op).lower()))
            case parser.BinaryExpr():
                left = self._read(expression.lhs, around)
                self._minus |= str(expression.op) == "-"
                back = max(left, self._read(expression.rhs, around))
            case parser.UnaryExpr():
                self._minus = True
                back = self._read(expression.expr, around)
            case parser.ParenExpr():
                back = self._read(expression.expr, around)
        return back

    def _farthest(self, expressions: list[object], around: tuple[str, ...]) -> float:
        return max((self._read(each, around) for each in expressions), default=0.0)

    def _select(self, selector: parser.VectorSelector, within: object, around: tuple[str, ...]) -> float:
        back = self._range(within) if within is not None else 0.0
        self.selectors.append(
            Selector(
                text=(selector.name or "") + (str(selector.matchers) if _has_matchers(selector) else ""),
                range=self.ranges[-1] if within is not None else "",
                function=around[-1] if around else "",
                raw=not any(map(_ignores_value, around)),
                earlier=selector.offset is not None,
                subtracted=self._minus,
                matchers=tuple(_matchers(selector)),
            )
        )
        self._minus = False
        return back + self._shift(selector)

    def _range(self, length: object) -> float:
        if length is None:
            return 0.0
        text, seconds = self._length(length)
        self.ranges.append(text)
        self._seconds[text] = seconds
        return seconds

    def _shift(self, expression: parser.VectorSelector | parser.SubqueryExpr) -> float:
        """Return how much further an ``offset`` looks, in either direction; infinity for an ``@`` modifier."""
        if expression.at is not None:
            return math.inf
        return self._length(expression.offset)[1] if expression.offset is not None else 0.0

    def _length(self, length: object) -> tuple[str, float]:
        assert hasattr(length, "total_seconds")
        length = abs(length)  # type: ignore[arg-type]
        if round(length.total_seconds() * 1000) == _WINDOW_MILLISECONDS:
            return WINDOW, self._window
        return parser.display_duration(length), length.total_seconds()


def raw_counter(query: str) -> str:
    """Return why a query does not show what was counted in a phase (it uses a counter's raw value), or an empty text.

    A counter minus itself with an ``offset`` is accepted, since the difference is its change.
    """
    selectors = Reading(query, 0).selectors
    differences = {at for at, pair in enumerate(pairwise(selectors)) if _is_difference(*pair)}
    raw = (one for at, one in enumerate(selectors) if one.raw and not {at, at - 1} & differences)
    name = next((one.name for one in raw if _COUNTER.fullmatch(one.name)), "")
    if not name:
        return ""
    expected = f"expected a rate or an increase of it, such as increase({name}[{WINDOW}])"
    return f"found the raw counter {name}, which counts from the start of its process, not within the phase; {expected}"


def misfit(query: str, window: float, interval: float, *, reduced: bool) -> str:
    """Return why a query would read data from outside of its phase, or an empty text.

    ``window`` is the length of the phase and ``interval`` the scrape interval, both in seconds. ``reduced``: the query
    is evaluated once per scrape, not at the end of the phase.

    A query that is evaluated at the end must look back over exactly the phase: a range of five minutes would dilute the
    errors of a fault of ten seconds to one in thirty. A query that is evaluated once per scrape may have a shorter
    range, since its first evaluation is late enough not to reach back before the phase.
    """
    read = Reading(query, window)
    if reduced:
        return _once_a_scrape(read, window, SCRAPES_PER_WINDOW * interval)
    other = next((each for each in read.ranges if each != WINDOW), None)
    if other is not None:
        return f"found the range [{other}], expected [{WINDOW}]: any other range does not match the phase"
    if read.reach > window:
        return f"found an offset, an @ or a subquery, which reaches back before the phase; expected only [{WINDOW}]"
    return ""


def _once_a_scrape(read: Reading, window: float, least: float) -> str:
    if WINDOW in read.ranges:
        return f"found [{WINDOW}] with a reducer, which reaches back before the phase; expected a range such as [5s]"
    short = next((each for each in read.ranges if read.seconds(each) < least), None)
    if short is not None:
        return f"found the range [{short}], expected at least {least:g} s: {SCRAPES_PER_WINDOW} scrapes"
    if read.reach and window - read.reach < least:
        most = f"at most {window - least:g} s" if window >= 2 * least else "none"
        left = f"at least {SCRAPES_PER_WINDOW} scrapes of a phase of {window:g} s must remain"
        return f"found ranges that look back {read.reach:g} s, expected {most}: {left}"
    return ""


def _filled(query: str) -> str:
    """Return the query with a duration in place of ``$window``."""
    return query.replace(WINDOW, f"{_WINDOW_MILLISECONDS}ms")


def _explained(error: str) -> str:
    """Return the parser's error as one sentence, with a suggestion for an unknown function."""
    unknown = _UNKNOWN_FUNCTION.search(error)
    if unknown:
        near = difflib.get_close_matches(unknown[1], sorted(_COMMON), 1)
        return f"unknown function {unknown[1]}" + (f", did you mean {near[0]}?" if near else "")
    return f"not valid PromQL: {' '.join(error.split())}"


def _has_matchers(selector: parser.VectorSelector) -> bool:
    return bool(selector.matchers.matchers or selector.matchers.or_matchers)


def _matchers(selector: parser.VectorSelector) -> Iterator[tuple[str, str, str]]:
    """Yield the matchers that every series of the selector meets; alternatives (``or``) are left out."""
    if selector.name:
        yield "__name__", "=", selector.name
    for each in selector.matchers.matchers:
        yield each.name, next(sign for op, sign in _SIGNS if op == each.op), each.value


def _ignores_value(function: str) -> bool:
    return function in _CHANGE | _EXISTENCE or function.endswith(_OVER_TIME)


def _is_difference(now: Selector, before: Selector) -> bool:
    return now.text == before.text and before.subtracted and before.earlier and not now.earlier


def _fits(label: str, sign: str, value: str) -> bool:
    if sign in {"=", "!="}:
        return (label == value) is (sign == "=")
    try:
        return bool(re.fullmatch(value, label)) is (sign == "=~")
    except re.error:
        # RE2 supports some syntax that Python does not.
        return True
