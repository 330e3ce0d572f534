"""The error of the stopwatch on outages of known length, beside krkn-lib, chaostoolkit-kubernetes and kubectl wait.

All tools watch the same outages at the same time, each in a process of its own that is started for every outage. An
error is how far what a tool reports is from the truth (see ``benchmarks/known_outages.py``); ``missed`` are outages
that it reported no length of, and count in no error. CPU and wall time (its start, the outage, and until it answers;
not what it waits for others) are those of one outage, at the median; memory is the greatest. All are with children; the
harness's two clocks are one process and its prober. ``times_harness`` is the median error by that of the first row of
the same part, which is the harness's. Peers are installed into virtual environments in the cache folder.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clusters import local_cluster, namespace
from benchmarks.known_outages import KillScene, KnownOutage, Scene, SwitchScene, TargetScene
from benchmarks.measured import Cost, Measured, MemorySampler
from benchmarks.peers.tools import Tool, tools
from benchmarks.table import Row, Value, quantile
from harness.cluster.local import commands
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.common.progress import Progress

# Long enough for a readiness probe of one second to notice, whatever its phase.
SHORTEST, LONGEST = 3.0, 6.0
STARTED = 60.0
# Some can only say that they are about to begin to watch.
ARMED = 2.0
PARTS = ("target", "readiness", "kill")

NOTES = """\
What each reports: the harness its user clock (100 probes a second) and its control-plane clock (pods); krkn-lib the
longest total_recovery_time of the pods; chaostoolkit-kubernetes from the end of deployment_not_fully_available to that
of deployment_fully_available, by the journal; kubectl wait from Available=false to Available=true. For killed pods
these two are given the instant of the call, as is the control-plane clock. All of them see a target that is down when
its readiness probe, once a second, does. User clocks ask the service itself: chaostoolkit by a continuous HTTP
hypothesis, 0.01 s apart (its default is 1 s), of which it reports no length: that is worked out from the journal."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one tool said of one outage, and what it cost. ``reported`` is None for a clock that saw none."""

    reported: dict[str, float | None]
    truth: float
    cost: Cost
    wall_s: float


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=20, help="outages of each part (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the outages' lengths (default: 1)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises ClusterBroken, Inconclusive, TimedOut."""
    binaries = commands.build(progress)
    rng = random.Random(options.seed)
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(local_cluster(options.cluster_name, 1, progress))
        every = tools(cluster, binaries, progress)
        place = stack.enter_context(namespace(cluster, "bench-accuracy"))
        scenes: dict[str, Callable[[], Scene]] = {
            "target": lambda: TargetScene(cluster, place),
            "readiness": lambda: SwitchScene(cluster, place),
            "kill": lambda: KillScene(cluster, place, binaries.folder / "kubectl", folder),
        }
        for part in options.parts:
            scene = scenes[part]()
            able = [tool for tool in every if scene.watched.service or not tool.asks]
            samples: dict[str, list[Sample]] = {tool.name: [] for tool in able}
            for number in range(options.samples):
                progress(f"{scene.title}: outage {number + 1} of {options.samples}")
                for name, sample in _measure(scene, able, number, rng.uniform(SHORTEST, LONGEST), folder):
                    samples[name].append(sample)
            rows += rows_of(scene.title, able, samples)
    return rows


def _measure(
    scene: Scene, every: Sequence[Tool], number: int, seconds: float, folder: Path
) -> Iterator[tuple[str, Sample]]:
    """One outage, measured by all tools at once."""
    scene.whole()
    running = {
        tool.name: Measured(tool.command(scene.watched), folder / "log") for tool in every if tool.command is not None
    }
    try:
        with MemorySampler([*running.values()]):
            for name, process in running.items():
                if not process.ready.wait(STARTED) or not process.running:
                    said = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                    raise HarnessError("\n".join([f"{name} did not begin to watch", *said]))
            SystemClock().sleep(ARMED)
            begun = time.monotonic()
            known = scene.outage(number, seconds)
            for process in running.values():
                process.wait(2.0 * scene.watched.seconds)
    finally:
        for process in running.values():
            process.end()
    for name, process in running.items():
        wall = process.cost.start_s + process.cost.ended - begun
        yield name, Sample(reported(process.answer, known), known.seconds, process.cost, wall)


def reported(answer: dict[str, dict[str, float] | None], known: KnownOutage) -> dict[str, float | None]:
    """The seconds that each clock of an answer amounts to; from the call on, where that is known."""
    return {clock: None if seen is None else _seconds(seen, known) for clock, seen in answer.items()}


def _seconds(seen: dict[str, float], known: KnownOutage) -> float:
    if "seconds" in seen:
        return seen["seconds"]
    return seen["ended"] - (known.since if known.since is not None else seen["began"])


def rows_of(part: str, every: Sequence[Tool], samples: dict[str, list[Sample]]) -> list[Row]:
    rows: list[dict[str, Value]] = []
    for tool in every:
        if tool.command is None:
            rows.append({"part": part, "tool": tool.name, "clock": "–", "samples": 0, "why": tool.missing})
            continue
        of_tool = samples[tool.name]
        clocks = sorted({clock for sample in of_tool for clock in sample.reported}, reverse=True) or ["none"]
        rows += [_row(part, tool.name, clock, of_tool) for clock in clocks]
    base = rows[0].get("median_error_s") if rows else None
    for row in rows:
        error = row.get("median_error_s")
        if isinstance(base, float) and isinstance(error, float) and base > 0:
            row["times_harness"] = round(error / base, 1)
    return [*rows]


def _row(part: str, tool: str, clock: str, samples: Sequence[Sample]) -> dict[str, Value]:
    found = [(sample.reported.get(clock), sample.truth) for sample in samples]
    signed = [value - truth for value, truth in found if value is not None]
    errors = [abs(error) for error in signed]
    return {
        "part": part,
        "tool": tool,
        "clock": clock,
        "median_error_s": round(quantile(errors, 0.5), 4) if errors else None,
        "p95_error_s": round(quantile(errors, 0.95), 4) if errors else None,
        "worst_error_s": round(max(errors), 4) if errors else None,
        "bias_s": round(statistics.median(signed), 4) if signed else None,
        "samples": len(samples),
        "missed": len(samples) - len(errors),
        "cpu_s": round(statistics.median(sample.cost.cpu_s for sample in samples), 2),
        "peak_mb": round(max(sample.cost.peak_mb for sample in samples)),
        "wall_s": round(statistics.median(sample.wall_s for sample in samples), 1),
    }
