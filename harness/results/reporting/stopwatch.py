"""The calibrated error of each recovery clock as text, or that there is no calibration."""

from __future__ import annotations

from harness.model.clock_errors import Calibration, ClockError
from harness.model.quantities import counted, show_seconds
from harness.results.record import EnvironmentRecord
from harness.results.reporting.figures import NBSP


def line(environment: EnvironmentRecord | None) -> str:
    """Describe all clocks: ``recovery clocks, calibrated …: user typically 6 ms, bias +2 ms, …``."""
    calibration = environment.calibration if environment else None
    if calibration is None:
        return "recovery clocks: not calibrated for this cluster (run harness calibrate)"
    clocks = [
        f"{error.clock} typically {milliseconds(error.typical)}, bias {milliseconds(error.bias, signed=True)},"
        f" spread {milliseconds(error.spread)}, at worst {milliseconds(error.worst)}"
        f" ({counted(error.samples, 'outage')}"
        + (f", {error.missed} missed)" if error.missed else ")")
        + _uncovered(error)
        for error in calibration.clocks
    ]
    noisy = f"; {not_quiet(calibration)}" if calibration.disturbed else ""
    at = calibration.at[:16].replace("T", " ")
    return f"recovery clocks, calibrated {at}: {'; '.join(clocks)}{noisy}"


def not_quiet(calibration: Calibration) -> str:
    """Describe why the errors may be too large: the machine was busy during the calibration."""
    return f"the machine was not quiet during the calibration: {', '.join(calibration.disturbed)}"


def _uncovered(error: ClockError) -> str:
    outside = error.samples - error.covered
    return f", the true length outside the bounds in {outside} of {error.samples}" if outside else ""


def short(environment: EnvironmentRecord | None) -> str:
    """Describe all clocks in one line of a terminal: the typical error of each, and the worst of all."""
    calibration = environment.calibration if environment else None
    if calibration is None:
        return line(environment)
    clocks = [f"{error.clock} ±{milliseconds(error.typical)}" for error in calibration.clocks]
    worst = max((error.worst for error in calibration.clocks), default=0.0)
    return f"clock errors: {', '.join(clocks)}, worst {milliseconds(worst)}"


def milliseconds(seconds: float, *, signed: bool = False) -> str:
    """Format the error of a clock: ``4.2 ms``, ``+31 ms``, ``1.29 s``."""
    sign = "+" if signed and seconds > 0 else ""
    size = seconds if signed else abs(seconds)
    return sign + show_seconds(size, finest=1 if abs(seconds) < 0.01 else 0, space=NBSP)
