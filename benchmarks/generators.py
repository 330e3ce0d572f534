"""One run of a load generator against one target: the harness's arrival-rate user, or Locust as it comes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import Row, quantile
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.protocol import Address
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.driver import RunningLoad
from harness.traffic.load.plan import LoadPlan

HARNESS, STOCK_PACED, STOCK_CLOSED = "harness, arrival rate", "Locust, constant_throughput", "Locust, closed loop"
STOCK = Path(__file__).parent / "stock"
# What the users of ``stock`` say on standard error when all of them have begun.
STARTED = b"all users have begun"
# The first second is left out: connections are dialled, users spawned.
WARM_UP = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run did after its first second. Latencies are milliseconds, sorted."""

    tool: str
    offered_per_s: float | None
    answered_per_s: float
    latencies_ms: Sequence[float]
    failed: int
    dropped: int
    cpu_s: float
    complete: bool = True

    @property
    def held(self) -> bool:
        """Whether it answered what was offered, within 1 %, and kept a record of each."""
        share = self.answered_per_s / self.offered_per_s if self.offered_per_s else 0.0
        return share >= 0.99 and not self.dropped and self.complete

    def row(self, part: str) -> Row:
        share = round(self.answered_per_s / self.offered_per_s, 4) if self.offered_per_s else None
        return {
            "part": part,
            "tool": self.tool,
            "offered_per_s": self.offered_per_s and round(self.offered_per_s),
            "answered_per_s": round(self.answered_per_s),
            "answered_to_offered": share,
            "p50_ms": round(quantile(self.latencies_ms, 0.5), 1),
            "p95_ms": round(quantile(self.latencies_ms, 0.95), 1),
            "p99_ms": round(quantile(self.latencies_ms, 0.99), 1),
            "worst_ms": round(self.latencies_ms[-1], 1),
            "failed": self.failed,
            "dropped": self.dropped,
            "samples": len(self.latencies_ms),
            "cpu_s": round(self.cpu_s, 1),
        }


@dataclass(frozen=True, slots=True)
class Generators:
    """Both generators, started where the cluster wants its load to start."""

    cluster: LocalCluster
    target: Address
    seconds: float

    def harness(self, rate: float, meanwhile: Callable[[], None] | None = None) -> Measured:
        """The arrival-rate user; ``meanwhile`` is called in the middle of it."""
        clock = SystemClock()
        before = _children_cpu()
        with tempfile.TemporaryDirectory() as folder:
            load = RunningLoad.start(self._plan(rate), Path(folder), clock)
            with load:
                load.wait_ready(30.0)
                begun = clock.monotonic()
                load.phase("baseline", begun)
                clock.sleep((WARM_UP + self.seconds) / 2)
                if meanwhile:
                    meanwhile()
                clock.sleep(begun + WARM_UP + self.seconds - clock.monotonic())
            summary = load.stop()
            requests = load.requests(begun)
        window = [one for one in requests if WARM_UP <= one.intended < WARM_UP + self.seconds]
        answered = [one for one in requests if WARM_UP <= one.finished < WARM_UP + self.seconds]
        return Measured(
            HARNESS,
            rate,
            len(answered) / self.seconds,
            sorted(one.latency * 1000 for one in window),
            summary.failed,
            summary.dropped,
            _children_cpu() - before,
            complete=len(requests) == summary.achieved,
        )

    def _plan(self, rate: float) -> LoadPlan:
        return LoadPlan(
            profile=Catalogue().profile("steady"),
            rate=rate,
            behaviour="builtin/http",
            options={"path": "/healthz", "connection": "kept", "readTimeout": 10},
            host=self.target.host,
            port=self.target.port,
            run="benchmark",
            experiment="load",
            namespace="benchmark",
            max_seconds=WARM_UP + self.seconds + 60,
            command=self.cluster.load_command(),
            metrics_host=self.cluster.load_host(),
        )

    def paced(self, rate: float, users: int, meanwhile: Callable[[], None] | None = None) -> Measured:
        """Locust's ``constant_throughput``: so many users, each with its share of the rate."""
        return self._stock(STOCK_PACED, "paced.py", users, rate, meanwhile)

    def closed(self, users: int) -> Measured:
        """Locust's users without a wait time: its greatest rate."""
        return self._stock(STOCK_CLOSED, "closed_loop.py", users, None, None)

    def _stock(
        self, tool: str, file: str, users: int, rate: float | None, meanwhile: Callable[[], None] | None
    ) -> Measured:
        # Its last second is a piece, too, and what is in flight at its end is not counted.
        seconds = WARM_UP + self.seconds + 1
        command = [
            *self.cluster.load_command(),
            *(sys.executable, "-m", "locust", "-f", str(STOCK / file), "--headless", "--json"),
            *("--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds:.0f}s"),
            *("--host", f"http://{self.target.host}:{self.target.port}", "--loglevel", "ERROR"),
        ]
        environment = {**os.environ, "BENCH_USER_RATE": str((rate or 0.0) / users)}
        before, clock = _children_cpu(), SystemClock()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
        ) as process:
            assert process.stderr is not None
            words = iter(process.stderr.readline, b"")
            started = any(word.strip() == STARTED for word in words)
            if started and meanwhile:
                clock.sleep(seconds / 2)
                meanwhile()
            said, errors = process.communicate(timeout=seconds + 60)
        try:
            (stats,) = json.loads(said)
        except ValueError as error:
            raise HarnessError(f"{tool} ended with exit code {process.returncode}: {errors.decode()}") from error
        return self._from_stats(tool, stats, rate, _children_cpu() - before)

    def _from_stats(self, tool: str, stats: dict[str, Any], rate: float | None, cpu: float) -> Measured:
        # Locust counts by whole seconds; one in which nothing ended has no entry. The first one is a piece.
        first = min(int(second) for second in stats["num_reqs_per_sec"]) + 1
        span = int(self.seconds)
        answered = sum(stats["num_reqs_per_sec"].get(str(second), 0) for second in range(first, first + span))
        latencies = [float(ms) for ms, count in stats["response_times"].items() for _ in range(count)]
        return Measured(tool, rate, answered / span, sorted(latencies), int(stats["num_failures"]), 0, cpu)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
