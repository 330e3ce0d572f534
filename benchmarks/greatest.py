"""The greatest open-loop rate with every request recorded, by 1, 2 and 4 workers, on loopback without a cluster.

The target answers at once, so that the generator is the limit. A rate is held if every arrival that was due was
started, recorded and answered, and at most 1 % of them later than 100 ms. First far too much is asked for: what was
started then is the capacity, and an objective on such a run must be INCONCLUSIVE, because the generator measured its
own limit and not the service. The greatest rate held is the first of 100 %, 90 %, 80 % … of the capacity. The numbers
of workers take turns in every round. The last rows are the arrivals of a minute at 1,000 a second, against the profile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from harness.common.clock import SystemClock
from harness.common.progress import Progress
from harness.model.phase_names import BASELINE, FAULT
from harness.model.requests import Requests
from harness.model.timeline import LoadSummary, Phase, Timeline
from harness.objectives.availability import Availability
from harness.objectives.latency import Latency
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.driver import RunningLoad
from harness.traffic.load.plan import LoadPlan

CLOCK = SystemClock()
# The first second is left out: connections are dialled then.
WARM_UP = 1.0
READY = 30.0
# More than any number of workers has started on these cores.
TOO_MUCH = 20_000.0
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
LATE_SHARE = 0.01
SLOW = 0.1

NOTES = (
    "Saturated runs: what availability at least 99% and 95% of requests below 100 ms say about a service that answers "
    "at once. INCONCLUSIVE is right, BROKEN would blame the service for the limit of the generator."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with every number of workers (default: 3)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds at 1,000/s (default: 60)")


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: what was asked for, its summary, and its requests in seconds since the start of the load."""

    rate: float
    seconds: float
    workers: int
    summary: LoadSummary
    requests: Requests

    @property
    def held(self) -> bool:
        summary = self.summary
        everything = summary.offered == summary.achieved == len(self.requests)
        return not summary.error and everything and not summary.failed and summary.late <= LATE_SHARE * summary.offered

    @property
    def started_per_s(self) -> float:
        """How many requests a second were started after the warm-up."""
        started = self.requests.started
        return float(np.count_nonzero((started >= WARM_UP) & (started < WARM_UP + self.seconds))) / self.seconds

    @property
    def timeline(self) -> Timeline:
        """The run as one that an objective judges, with the warm-up as its baseline."""
        end = WARM_UP + self.seconds
        made = Timeline(0.0, 0.0, phases=[Phase(BASELINE, 0.0, WARM_UP), Phase(FAULT, WARM_UP, end)])
        made.requests, made.load = self.requests, self.summary
        return made


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises Inconclusive if the target does not answer."""
    rows: list[Row] = []
    greatest: dict[int, list[float]] = {workers: [] for workers in options.workers}
    with served() as port:
        for number in range(options.rounds):
            # In turns: what else runs on this machine shall not come between the numbers of workers.
            for workers in options.workers:
                progress(f"round {number + 1} of {options.rounds}: {workers} workers")
                found, far_too_much = search(partial(measure, port, workers, options.seconds))
                greatest[workers].append(found)
                rows.append(saturated(far_too_much))
        rows = [*_spread(greatest), *rows]
        for workers in options.workers if options.minute else ():
            progress(f"{options.minute:g} s at 1,000/s: {workers} workers")
            rows.append(minute(measure(port, workers, options.minute, 1000.0)))
    return rows


def search(attempt: Callable[[float], Ran]) -> tuple[float, Ran]:
    """Return the greatest rate that was held, 0 if none was, and the run for which far too much was asked."""
    saturated = attempt(TOO_MUCH)
    if saturated.held:
        return TOO_MUCH, saturated
    rates = (saturated.started_per_s * share for share in SHARES)
    return next((rate for rate in rates if attempt(rate).held), 0.0), saturated


def measure(port: int, workers: int, seconds: float, rate: float) -> Ran:
    """Run the load for so many seconds after the warm-up."""
    plan = LoadPlan(
        profile=Catalogue().profile("steady"),
        rate=rate,
        behaviour="builtin/http",
        options={"connection": "kept", "readTimeout": 10},
        host="127.0.0.1",
        port=port,
        run="benchmark",
        experiment="greatest",
        namespace="benchmark",
        max_seconds=WARM_UP + seconds + 60,
        workers=workers,
    )
    with tempfile.TemporaryDirectory() as folder, RunningLoad.start(plan, Path(folder), CLOCK) as load:
        load.wait_ready(READY)
        begun = CLOCK.monotonic()
        load.phase(BASELINE, begun)
        CLOCK.sleep(begun + WARM_UP + seconds - CLOCK.monotonic())
        summary = load.stop()
        return Ran(rate, seconds, workers, summary, load.requests(begun))


def _spread(greatest: dict[int, list[float]]) -> Iterator[Row]:
    for workers, rates in greatest.items():
        ordered = sorted(rates)
        yield {
            "part": "greatest rate held",
            "workers": workers,
            "least_per_s": round(ordered[0]),
            "median_per_s": round(ordered[len(ordered) // 2]),
            "most_per_s": round(ordered[-1]),
            "rounds": len(ordered),
        }


def saturated(ran: Ran) -> Row:
    """Return what a run says in which too much was asked for."""
    objectives = (Availability(min=0.99, phases=("fault",)), Latency(share=0.95, below=SLOW, phases=("fault",)))
    summary = ran.summary
    return {
        "part": "saturated",
        "workers": ran.workers,
        "asked_per_s": round(ran.rate),
        "started_per_s": round(ran.started_per_s),
        "due": summary.offered,
        "dropped": summary.dropped,
        "late": summary.late,
        "recorded": len(ran.requests),
        "availability": str(objectives[0].judge(ran.timeline).verdict),
        "latency": str(objectives[1].judge(ran.timeline).verdict),
    }


def minute(ran: Ran) -> Row:
    """Return how far the arrivals of a run were from its profile, by when they were started."""
    started = ran.requests.started
    within = started[(started >= WARM_UP) & (started < WARM_UP + ran.seconds)]
    counts = np.bincount((within - WARM_UP).astype(int), minlength=int(ran.seconds))[: int(ran.seconds)]
    late = np.sort(ran.requests.started - ran.requests.intended) * 1000
    return {
        "part": "arrivals",
        "workers": ran.workers,
        "asked_per_s": round(ran.rate),
        "due": ran.summary.offered,
        "recorded": len(ran.requests),
        "dropped": ran.summary.dropped,
        "error_percent": round(abs(len(within) / (ran.rate * ran.seconds) - 1) * 100, 3),
        "worst_second_percent": round(float(np.abs(counts / ran.rate - 1).max()) * 100, 2),
        "start_late_p50_ms": round(float(late[len(late) // 2]), 2),
        "start_late_p99_ms": round(float(late[int(len(late) * 0.99)]), 2),
        "start_late_worst_ms": round(float(late[-1]), 1),
    }


@contextmanager
def served() -> Iterator[int]:
    """Serve the target in a process of its own while the context lasts; its port is the value."""
    command = [sys.executable, "-m", "benchmarks.quick_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
