"""The harness: ``python -m benchmarks.peers.ours CLUSTER NAMESPACE NAME SECONDS [SERVICE:PORT]``, as runs measure.

With a Service it probes that 100 times a second, from the prober's own process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.errors import TimedOut
from harness.common.waiting import wait_until
from harness.engine.steps.prober import TargetProber
from harness.engine.steps.reach import Finder
from harness.model.timeline import Injection, Interval, Timeline
from harness.objectives.recovery import Outage, in_a_row, outages, recoveries
from harness.probes.observers import Observers
from harness.probes.pods import PodProbe
from harness.traffic.prober.declaration import HttpAim, Probing
from harness.traffic.target.declaration import Target

RATE, TIMEOUT = 100.0, 0.5
READY, SPARE = 30.0, 60.0
LOOK_EVERY = 0.25
LeaseSnapshot = dict[str, dict[str, float] | None]


def main(cluster_name: str, namespace: str, name: str, seconds: str, service: str = "") -> None:
    clock = SystemClock()
    timeline = Timeline(clock.monotonic(), clock.wall())
    with closing(LocalCluster.attach(cluster_name)) as cluster, ExitStack() as stack:
        observers = stack.enter_context(Observers(cluster, namespace, timeline, clock, [PodProbe()]))
        observers.wait_ready(READY)
        prober: TargetProber | None = None
        if service:
            probing = Probing(name=name, http=HttpAim(target=Target(service=service)), rate=RATE, timeout=TIMEOUT)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            limit = float(seconds) + SPARE
            finder = Finder(cluster, namespace, folder, clock)
            prober = TargetProber(finder, [probing], folder=folder, seconds=limit)
            stack.enter_context(prober)
            prober.wait_ready(READY)
        print("ready", flush=True)
        armed = timeline.offset(clock.monotonic())
        timeline.injections.append(Injection("benchmark", (), Interval(armed, armed), proven=True))

        def look() -> LeaseSnapshot:
            found: LeaseSnapshot = {"pods": _pods(timeline, name)}
            if prober:
                (stream,) = prober.streams(timeline.origin)
                known = outages(stream.seen, armed, in_a_row(stream.period))
                found["user"] = _user(known, timeline)
            return found

        def all_seen() -> tuple[LeaseSnapshot | None, str]:
            found = look()
            return (found, "") if all(found.values()) else (None, "an outage and its end")

        try:
            found = wait_until("a recovery", all_seen, float(seconds), clock, every=LOOK_EVERY)
        except TimedOut:
            found = look()
    print(json.dumps(found), flush=True)


def _pods(timeline: Timeline, name: str) -> dict[str, float] | None:
    (seen,) = recoveries(timeline, f"deployment/{name}", clocks=["control plane"])
    if seen.state != "recovered" or seen.began is None or seen.ended is None:
        return None
    return {"began": timeline.wall(seen.began), "ended": timeline.wall(seen.ended)}


def _user(known: Sequence[Outage], timeline: Timeline) -> dict[str, float] | None:
    """The longest outage, at its likeliest."""
    spans = [(one.likely.low, one.likely.high) for one in known if one.over and one.likely]
    if not spans or not known[-1].over:
        return None
    began, ended = max(spans, key=lambda span: span[1] - span[0])
    return {"began": timeline.wall(began), "ended": timeline.wall(ended)}


if __name__ == "__main__":
    main(*sys.argv[1:])
