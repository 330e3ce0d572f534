"""``harness calibrate``: measure the error of the recovery clocks on one cluster and store it for later runs."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.cli.selection import add_cluster_options, request_of, settings_of
from harness.common.clock import SystemClock
from harness.common.errors import InputError, Problem
from harness.common.progress import Lines
from harness.engine.calibration import store
from harness.engine.calibration.calibrate import OUTAGES, calibrate
from harness.engine.calibration.run import LEAST_OUTAGES
from harness.engine.calibration.table import table
from harness.engine.choose_cluster import choose, take_down
from harness.results.reporting.stopwatch import not_quiet

MOST_OUTAGES = 400
# Exit code for a calibration that was disturbed by other work on the machine; it is not stored.
NOT_QUIET = 1


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_cluster_options(verb)
    verb.add_argument(
        "--outages", type=int, default=OUTAGES, help="outages per clock, at least 50 (default: %(default)s)"
    )
    verb.add_argument("--seed", type=int, default=1, help="seed for the lengths of the outages (default: %(default)s)")
    verb.set_defaults(command=_calibrate)


def _calibrate(options: argparse.Namespace) -> int:
    if not LEAST_OUTAGES <= options.outages <= MOST_OUTAGES:
        expected = f"expected from {LEAST_OUTAGES} to {MOST_OUTAGES}"
        raise InputError([Problem(f"found {options.outages}, {expected}", field="--outages")])
    progress = Lines()
    with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
        settings = settings_of(options)
        target = request_of(settings, Path(folder))
        chosen = choose(target, progress)
        try:
            # As in a pytest session, so that a calibration uses the permissions that a run would have.
            chosen.cluster.api.impersonate(settings.user)
            clock = SystemClock()
            calibration = calibrate(
                chosen.cluster,
                clock,
                progress,
                run=f"{int(clock.wall()):x}",
                folder=Path(folder),
                outages=options.outages,
                seed=options.seed,
            )
        finally:
            chosen.cluster.close()
            # Only a cluster that this command has created is removed.
            if chosen.made:
                take_down(chosen.cluster.provider, target, progress)
    print("\n".join([f"{calibration.cluster}, measured from {calibration.machine}", *table(calibration)]))
    if calibration.disturbed:
        print(f"not stored: {not_quiet(calibration)}; run `harness calibrate` again while the machine is idle")
        return NOT_QUIET
    print(f"stored in {store.file_of(calibration)}")
    return 0
