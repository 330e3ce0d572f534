"""How good the stopwatch of a run is, in words: the calibrated error of each clock, or that there is none."""

from __future__ import annotations

from harness.record import EnvironmentRecord
from harness.reporting.figures import MINUS, NBSP


def line(environment: EnvironmentRecord | None) -> str:
    """One sentence: ``stopwatch: user errs by 6 ms, bias +2 ms, spread 9 ms, at worst 31 ms (50 outages); …``."""
    calibration = environment.calibration if environment else None
    if calibration is None:
        return "stopwatch: not calibrated on such a cluster (harness calibrate does it)"
    clocks = [
        f"{error.clock} errs by {milliseconds(error.typical)}, bias {milliseconds(error.bias, signed=True)},"
        f" spread {milliseconds(error.spread)}, at worst {milliseconds(error.worst)}"
        f" ({error.samples} outages" + (f", {error.missed} missed)" if error.missed else ")")
        for error in calibration.clocks
    ]
    return f"stopwatch, calibrated {calibration.at[:16].replace('T', ' ')}: {'; '.join(clocks)}"


def milliseconds(seconds: float, *, signed: bool = False) -> str:
    """An error for people: ``4.2 ms``, ``+31 ms``."""
    size = abs(seconds) * 1000
    shown = f"{size:.1f}" if size < 10 else f"{size:.0f}"
    sign = ("+" if seconds > 0 else MINUS if seconds < 0 else "") if signed else ""
    return f"{sign}{shown}{NBSP}ms"
