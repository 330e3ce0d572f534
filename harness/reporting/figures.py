"""Numbers for people: a unit beside every one, no decimal that says nothing, and none rounded across its limit."""

from __future__ import annotations

from datetime import datetime

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
SHARES = frozenset({"share", "ratio", "fraction"})
MEASURED = SHARES | {"%", "s"}
# What differs by less than this many further decimals is called equal: float noise, not a finding.
FURTHER_DECIMALS = 4

COMPARISONS = {">=": "at least", "<=": "at most"}


def quantity(value: float, unit: str, against: float | None = None) -> str:
    """A value with its unit: ``99.97%``, ``340 ms``, ``4.2 s``, ``3 replicas``.

    ``unit`` ``share`` (of 1) is shown as a percentage, ``s`` in whatever time unit fits. ``against`` is a limit: the
    value gets as many decimals as it takes to stand on its own side of it. A share below 1 never rounds up to 100%.
    """
    if unit in SHARES:
        return f"{_decimal(value * 100, 2, [100.0, *([against * 100] if against is not None else [])])}%"
    if unit == "%":
        return f"{_decimal(value, 2, [100.0, *([against] if against is not None else [])])}%"
    if unit == "s":
        return _time(value, against)
    shown = _decimal(value, 1, [] if against is None else [against])
    return f"{shown}{NBSP}{unit}" if unit else shown


def seconds(value: float) -> str:
    """A duration: ``340 ms``, ``4.2 s``, ``3 min 20 s``."""
    return _time(value, None)


def between(low: float | None, high: float | None, unit: str = "s") -> str:
    """Bounds: ``4.2–4.6 s``; one number where both read the same; ``over 60 s`` where there is no upper one."""
    if low is None and high is None:
        return ""
    if high is None and low is not None:
        return f"over {quantity(low, unit)}"
    if low is None and high is not None:
        return f"under {quantity(high, unit)}"
    assert low is not None
    assert high is not None
    first, last = quantity(low, unit), quantity(high, unit)
    if low == 0 and not last.startswith("0"):
        return f"0–{last}"
    if first == last:
        return first
    # The unit is written once where both bounds have the same one: ``4.2–4.6 s``, ``99.95–99.99%``.
    number, mark, rest = first.partition(NBSP) if NBSP in first else first.partition("%")
    shared = mark and last.endswith(mark + rest) and NBSP not in rest
    return f"{number if shared else first}–{last}"


def margin(value: float, unit: str) -> str:
    """A signed distance from a limit: ``+0.05 points``, ``−3.1 s``. Percentages differ by points, not by percent."""
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    size = abs(value)
    if unit in SHARES or unit == "%":
        points = size * 100 if unit in SHARES else size
        return f"{sign}{_decimal(points, 2, [0.0])}{NBSP}points"
    return sign + (_time(size, 0.0) if unit == "s" else quantity(size, unit, 0.0))


def offset(value: float) -> str:
    """A place on the time axis: ``+3.2 s``, ``0 s``, ``−20 s``."""
    text = _decimal(abs(value), 1, [])
    sign = "" if text == "0" else "+" if value > 0 else MINUS
    return f"{sign}{text}{NBSP}s"


def precise_offset(value: float) -> str:
    """The same to a hundredth of a second, for columns in which neighbours are told apart: ``+0.05 s``."""
    return f"{'+' if round(value, 2) >= 0 else MINUS}{abs(value):.2f}{NBSP}s"


def count(value: int) -> str:
    """A whole number with its thousands set apart: ``12,345``."""
    return f"{value:,}"


def moment(text: str) -> str:
    """An RFC 3339 time as people write it, in UTC: ``2026-11-23 07:04:05 UTC``. Other text is given back as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")
    except ValueError:
        return text


def elapsed(start: str, end: str) -> float | None:
    """Seconds between two RFC 3339 times, or None when one of them is none."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def _time(value: float, against: float | None) -> str:
    apart = [] if against is None else [against]
    if abs(value) < 1:
        return f"{_decimal(value * 1000, 0, [0.0, *(limit * 1000 for limit in apart)])}{NBSP}ms"
    if abs(value) < 120 or any(round(value) == round(limit) != value for limit in apart):
        return f"{_decimal(value, 1, apart)}{NBSP}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return NBSP.join(f"{number}{NBSP}{unit}" for number, unit in parts if number)


def _decimal(value: float, decimals: int, apart_from: list[float]) -> str:
    for places in range(decimals, decimals + FURTHER_DECIMALS + 1):
        shown = round(value, places)
        if all(shown != round(other, places) or value == other for other in apart_from):
            break
    text = f"{shown:,.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text.replace("-", MINUS)
