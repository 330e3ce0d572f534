"""One calibration from its outages to the entry that later runs print and judge by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness import __version__
from harness.accuracy import Calibration, ClockError
from harness.calibration import store
from harness.calibration.run import CalibrationRun
from harness.clock import Clock, iso
from harness.cluster.protocol import Cluster
from harness.errors import Inconclusive

OUTAGES = 52
# What a clock must have seen, and its bounds have held, for its errors to say how good it is.
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
    """Calibrate on a cluster; its namespace carries the label of ``run``. Raises HarnessError, and Inconclusive when
    a clock missed too much for its errors to mean anything."""
    at = iso(clock.wall())
    table = CalibrationRun(cluster, clock, run=run, outages=outages, seed=seed, folder=folder).measure(progress).table
    poor = shortcomings(table)
    if poor:
        raise Inconclusive(f"the stopwatch could not be calibrated: {'; '.join(poor)}")
    return Calibration(
        cluster=store.identity(cluster), machine=store.machine(), harness=__version__, at=at, clocks=table
    )


def shortcomings(table: Sequence[ClockError]) -> list[str]:
    """What speaks against keeping a calibration: a clock whose errors are those of the few outages that it saw."""
    poor = []
    for error in table:
        seen = 1.0 - error.missed / error.samples
        if seen < ENOUGH:
            poor.append(f"{error.clock} missed {error.missed} of {error.samples} outages")
        elif error.coverage < ENOUGH:
            poor.append(f"{error.clock} bounds held {error.coverage:.0%} of the true lengths, expected {ENOUGH:.0%}")
    return poor
