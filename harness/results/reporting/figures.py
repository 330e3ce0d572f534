"""Formatting of numbers: each with its unit, without meaningless decimals, and never rounded across its limit."""

from __future__ import annotations

from datetime import datetime

from harness.model.quantities import MINUS, show_decimal, show_seconds

NBSP = "\N{NO-BREAK SPACE}"
SHARES = frozenset({"share", "ratio", "fraction"})
MEASURED = SHARES | {"%", "s"}

# The units of counts, which findings carry in the plural.
_SINGULAR = {"pods": "pod", "replicas": "replica", "restarts": "restart", "writes lost": "write lost"}
COMPARISONS = {">=": "at least", "<=": "at most"}


def quantity(value: float, unit: str, against: float | None = None) -> str:
    """Format a value with its unit: ``99.97%``, ``340 ms``, ``4.2 s``, ``3 replicas``.

    The unit ``share`` (0 to 1) is shown as a percentage, ``s`` in a suitable time unit. ``against`` is a limit: the
    value gets as many decimals as needed to differ from it. A share below 1 is never rounded up to 100%.
    """
    if unit in SHARES:
        return f"{show_decimal(value * 100, 2, [100.0, *([against * 100] if against is not None else [])])}%"
    if unit == "%":
        return f"{show_decimal(value, 2, [100.0, *([against] if against is not None else [])])}%"
    if unit == "s":
        return _time(value, against)
    shown = show_decimal(value, 1, [] if against is None else [against])
    return f"{shown}{NBSP}{_SINGULAR.get(unit, unit) if shown == '1' else unit}" if unit else shown


def seconds(value: float) -> str:
    """Format a duration: ``340 ms``, ``4.2 s``, ``3 min 20 s``."""
    return _time(value, None)


def between(low: float | None, high: float | None, unit: str = "s") -> str:
    """Format bounds: ``4.2–4.6 s``; one number if both have the same text; ``over 60 s`` without an upper bound."""
    if low is None and high is None:
        return ""
    if high is None and low is not None:
        return f"over {quantity(low, unit)}"
    if low is None and high is not None:
        return f"under {quantity(high, unit)}"
    assert low is not None
    assert high is not None
    first, last = quantity(low, unit), quantity(high, unit)
    # Zero is formatted in milliseconds, and "0 ms–4.6 s" would suggest different units.
    if low == 0 and not last.startswith("0"):
        return f"0–{last}"
    if first == last:
        return first
    # The unit is shown once if both bounds have the same one: ``4.2–4.6 s``, ``99.95–99.99%``.
    number, mark, rest = first.partition(NBSP) if NBSP in first else first.partition("%")
    shared = mark and last.endswith(mark + rest) and NBSP not in rest
    return f"{number if shared else first}–{last}"


def margin(value: float, unit: str) -> str:
    """Format a distance from a limit: ``+0.05 points``, ``−3.1 s``. Percentages differ by points, not by percent."""
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    size = abs(value)
    if unit in SHARES or unit == "%":
        points = size * 100 if unit in SHARES else size
        return f"{sign}{show_decimal(points, 2, [0.0])}{NBSP}points"
    return sign + (_time(size, 0.0) if unit == "s" else quantity(size, unit, 0.0))


def offset(value: float) -> str:
    """Format an instant on the time axis: ``+3.2 s``, ``0 s``, ``−20 s``."""
    text = show_decimal(abs(value), 1, [])
    sign = "" if text == "0" else "+" if value > 0 else MINUS
    return f"{sign}{text}{NBSP}s"


def precise_offset(value: float) -> str:
    """Format an instant to a hundredth of a second, for lists of events: ``+0.05 s``."""
    return f"{'+' if round(value, 2) >= 0 else MINUS}{abs(value):.2f}{NBSP}s"


def count(value: int) -> str:
    """Format an integer with thousands separators: ``12,345``."""
    return f"{value:,}"


def moment(text: str) -> str:
    """Format an RFC 3339 time: ``2026-11-23 07:04:05 UTC``. Any other text is returned unchanged."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return text


def elapsed(start: str, end: str) -> float | None:
    """Return the seconds between two RFC 3339 times, or None if one of them is invalid."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def _time(value: float, against: float | None) -> str:
    return show_seconds(value, against=against, decimals=1, space=NBSP)
