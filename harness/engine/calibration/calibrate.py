"""Calibrate the recovery clocks on a cluster and store the result for later runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness import __version__
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock, iso
from harness.common.errors import Inconclusive
from harness.engine.calibration import store
from harness.engine.calibration.run import CalibrationRun
from harness.model.clock_errors import Calibration, ClockError

OUTAGES = 52
# Least share of the outages that a clock must have measured, and least share of true lengths within its bounds.
ENOUGH = 0.9


def calibrate(
    cluster: Cluster,
    clock: Clock,
    progress: Callable[[str], None],
    *,
    run: str,
    folder: Path,
    outages: int = OUTAGES,
    seed: int = 1,
) -> Calibration:
    """Calibrate on a cluster and store the result for later runs.

    If other work disturbed the measurement, the result is not stored and its ``disturbed`` lists the reasons. The
    namespace gets the label of ``run``. Raises HarnessError, and Inconclusive if a clock missed too many outages."""
    at = iso(clock.wall())
    measured = CalibrationRun(cluster, clock, run=run, outages=outages, seed=seed, folder=folder).measure(progress)
    poor = shortcomings(measured.table)
    if poor:
        quiet = [f"the machine was not quiet: {', '.join(measured.disturbed)}"] if measured.disturbed else []
        raise Inconclusive(f"the recovery clocks could not be calibrated: {'; '.join([*poor, *quiet])}")
    found = Calibration(
        cluster=store.identity(cluster),
        machine=store.machine(),
        harness=__version__,
        at=at,
        clocks=measured.table,
        disturbed=measured.disturbed,
    )
    if not found.disturbed:
        store.save(found)
    return found


def shortcomings(table: Sequence[ClockError]) -> list[str]:
    """Return the reasons to reject a calibration: clocks that missed too many outages, or with too narrow bounds."""
    poor = []
    for error in table:
        seen = 1.0 - error.missed / error.samples
        if seen < ENOUGH:
            poor.append(f"{error.clock} missed {error.missed} of {error.samples} outages")
        elif error.coverage < ENOUGH:
            share = f"contain {error.covered} of {error.samples} true lengths"
            poor.append(f"the bounds of the {error.clock} clock {share}, expected at least {ENOUGH:.0%}")
    return poor
