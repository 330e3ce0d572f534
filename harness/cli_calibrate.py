"""``harness calibrate``: measures how well the stopwatch measures, on one cluster, and keeps it for later runs."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.calibration import store
from harness.calibration.calibrate import OUTAGES, calibrate
from harness.calibration.run import LEAST_OUTAGES
from harness.calibration.table import table
from harness.choosing import Wish, choose, take_down
from harness.clock import SystemClock
from harness.cluster.local import commands
from harness.cluster.local.progress import Lines
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
    verb.add_argument("--outages", type=int, default=OUTAGES, help="of each clock, at least 50 (%(default)s)")
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
            if chosen.made:
                take_down(chosen.cluster.provider, wish, progress)
    file = store.save(calibration)
    print(
        "\n".join([f"{calibration.cluster}, seen from {calibration.machine}", *table(calibration), f"kept in {file}"])
    )
    return 0
