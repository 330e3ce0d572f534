"""``harness calibrate``: measures how well the stopwatch measures, on one cluster, and keeps it for later runs."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness import __version__
from harness.accuracy import Calibration
from harness.calibration import store
from harness.calibration.run import LEAST_OUTAGES, CalibrationRun
from harness.calibration.table import table
from harness.choosing import Wish, choose, take_down
from harness.clock import SystemClock, iso
from harness.cluster.local import commands
from harness.cluster.local.progress import Lines
from harness.cluster.protocol import Cluster
from harness.errors import InputError, Problem

MOST_OUTAGES = 400


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``harness``."""
    verb = verbs.add_parser("calibrate", help="measure the stopwatch itself against outages of known length")
    verb.add_argument("--cluster", default="auto", help="auto, local, kind, current or a context (%(default)s)")
    verb.add_argument("--cluster-name", default=commands.DEFAULT_NAME, help="name of a cluster of ours (%(default)s)")
    verb.add_argument(
        "--cluster-nodes", type=int, default=2, metavar="N", help="workers of a cluster of ours (%(default)s)"
    )
    verb.add_argument("--cluster-allow", default="", help="contexts allowed besides kind-* and local-*, by commas")
    verb.add_argument("--kubeconfig", type=Path, help="kubeconfig file (default: the client's own)")
    verb.add_argument("--images", default="", help="registry prefix with the harness's images, for a foreign cluster")
    verb.add_argument("--outages", type=int, default=52, help="of each clock, at least 50 (%(default)s)")
    verb.add_argument("--seed", type=int, default=1, help="of the outages' lengths (%(default)s)")
    verb.set_defaults(command=_calibrate)


def _calibrate(options: argparse.Namespace) -> int:
    if not LEAST_OUTAGES <= options.outages <= MOST_OUTAGES:
        expected = f"expected from {LEAST_OUTAGES} to {MOST_OUTAGES}"
        raise InputError([Problem(f"found {options.outages}, {expected}", field="--outages")])
    progress = Lines()
    with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
        wish = Wish(
            selection=options.cluster,
            kubeconfig=options.kubeconfig,
            allowed=tuple(filter(None, options.cluster_allow.split(","))),
            name=options.cluster_name,
            workers=options.cluster_nodes,
            images=options.images,
            state=Path(folder),
        )
        chosen = choose(wish, progress)
        try:
            calibration = calibrate(chosen.cluster, outages=options.outages, seed=options.seed, folder=Path(folder))
        finally:
            chosen.cluster.close()
            if chosen.made:
                take_down(chosen.cluster.provider, wish, progress)
    file = store.save(calibration)
    print(
        "\n".join([f"{calibration.cluster}, seen from {calibration.machine}", *table(calibration), f"kept in {file}"])
    )
    return 0


def calibrate(cluster: Cluster, *, outages: int, seed: int, folder: Path) -> Calibration:
    """Calibrate on a cluster. Raises HarnessError."""
    clock, progress = SystemClock(), Lines()
    at = iso(clock.wall())
    run = CalibrationRun(cluster, clock, run=f"{int(clock.wall()):x}", outages=outages, seed=seed, folder=folder)
    measured = run.measure(progress)
    return Calibration(
        cluster=store.identity(cluster), machine=store.machine(), harness=__version__, at=at, clocks=measured.table
    )
