"""The load generator beside Locust as it comes: rates held, a stalled target, the greatest rate.

Same target (podinfo in a local cluster), same place to start from, same priority, kept connections. Locust's
``constant_throughput`` waits for its answers, so a target that stalls gets less load and looks better than it is
(coordinated omission); the harness counts latency from when a request was due. The greatest rate of the harness is the
highest one that it held within 1 % with every request recorded; of Locust, what its closed loop reached.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from benchmarks import web_target
from benchmarks.clusters import local_cluster, namespace
from benchmarks.generators import Generators, Measured
from benchmarks.table import Row
from harness.common.clock import SystemClock
from harness.common.progress import Progress

NAMESPACE = "bench-load"
STALL = 2.0
STALL_RATE = 200.0
# As few users as are needed for the rate, which is what Locust's manual advises.
STALL_USERS = 10
CLOSED_USERS = (8, 16, 32)
STEPS = (0.7, 0.8, 0.9, 1.0, 1.1)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run (default: 8)")
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 500.0, 1000.0, 2000.0], metavar="RATE")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises ClusterBroken, Inconclusive when cluster or target do not become ready."""
    with local_cluster(options.cluster_name, 1, progress) as cluster, namespace(cluster, NAMESPACE):
        generators = Generators(cluster, web_target.deploy(cluster, NAMESPACE), options.seconds)
        rows = [*_held(generators, options.rates, progress)]
        progress(f"a target that stalls for {STALL:g} s")

        def stall() -> None:
            with web_target.stalled(cluster, NAMESPACE):
                SystemClock().sleep(STALL)

        part = f"stalled {STALL:g} s"
        rows.append(generators.harness(STALL_RATE, stall).row(part))
        rows.append(generators.paced(STALL_RATE, STALL_USERS, stall).row(part))
        rows += _greatest(generators, progress)
    return rows


def _held(generators: Generators, rates: list[float], progress: Progress) -> Iterator[Row]:
    for rate in rates:
        progress(f"{rate:g} requests/s")
        yield generators.harness(rate).row("held")
        yield generators.paced(rate, max(10, int(rate / 20))).row("held")


def _greatest(generators: Generators, progress: Progress) -> Iterator[Row]:
    progress("greatest rate: Locust's closed loop")
    closed = [generators.closed(users) for users in CLOSED_USERS]
    stock, users = max((measured.answered_per_s, users) for measured, users in zip(closed, CLOSED_USERS, strict=True))
    ours: list[Measured] = []
    for step in STEPS:
        progress(f"greatest rate: {step:.0%} of Locust's {stock:.0f}/s")
        ours.append(generators.harness(stock * step))
        # In turns: what else runs on this machine shall not come between the two.
        closed.append(generators.closed(users))
    stock = max(measured.answered_per_s for measured in closed)
    yield from (measured.row("greatest") for measured in (*closed, *ours))
    held = [measured for measured in ours if measured.held]
    if held:
        best = max(held, key=lambda measured: measured.answered_per_s)
        ratio = replace(best, tool="ratio, harness to Locust's closed loop", offered_per_s=stock)
        yield ratio.row("greatest rate held")
